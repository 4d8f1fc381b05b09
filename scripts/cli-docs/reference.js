// The reference of docs/cli.md, made from the definitions of the commands.
import { exitCodeMeanings } from '../../dist/cli/exit-codes.js'
import { groups } from '../../dist/cli/groups.js'
import { shapeText } from '../../dist/cli/output/shape-text.js'
import { optionsOf } from '../../dist/cli/common-options.js'

/** @typedef {{ command: string, output: string }} RecordedRun */

/** @param {readonly RecordedRun[]} recorded */
export async function cliReference(recorded) {
  const parts = [exitCodeTable()]
  for (const { name, summary, load, isCommand = false } of groups) {
    if (!isCommand) parts.push(`## ${name}\n\n${summary}.`)
    for (const command of (await load()).commands) {
      parts.push(commandText(isCommand ? name : `${name} ${command.name}`, command, recorded))
    }
  }
  return parts.join('\n\n')
}

function exitCodeTable() {
  const rows = Object.entries(exitCodeMeanings).map(([code, meaning]) => `| ${code} | ${meaning} |`)
  return ['| Exit code | Meaning |', '|---|---|', ...rows].join('\n')
}

const common = ['--json', '--config', '--verbose']

/** @param {string} name @param {import('../../dist/cli/command.js').AnyCommand} command @param {readonly RecordedRun[]} recorded */
function commandText(name, command, recorded) {
  const named = (command.arguments ?? []).map((argument) => ({ ...argument, shown: shownArgument(argument) }))
  const options = optionsOf(command).filter(({ flags }) => !common.some((option) => flags.startsWith(option)))
  const required = options.filter(({ isRequired }) => isRequired).map(({ flags }) => flags)
  const usage = ['tenants2fast', name, ...named.map(({ shown }) => shown), ...required, '[OPTIONS]'].join(' ')
  const rows = [
    ...named.map(({ shown, description }) => [shown, description]),
    ...options.map(({ flags, description }) => [flags, description]),
  ].map(([term, description]) => `| \`${escapeCell(term)}\` | ${escapeCell(description)} |`)
  const examples = command.examples.flatMap(({ command: line, says }) => [`# ${says}`, `tenants2fast ${line}`])
  const run = recorded.find(({ command: line }) => `${line} `.startsWith(`${name} `))
  return [
    `${name.includes(' ') ? '###' : '##'} ${name}`,
    [`${command.summary}.`, command.description].filter((text) => text !== undefined).join(' '),
    fenced('sh', [usage]),
    ...(rows.length === 0 ? [] : [['| | |', '|---|---|', ...rows].join('\n')]),
    fenced('sh', examples),
    ...(run === undefined
      ? []
      : ['A run:', fenced('console', [`$ tenants2fast ${run.command}`, run.output.trimEnd()])]),
    `With \`--json\`${codesText(command.exitCodes)}:`,
    fenced('ts', [shapeText(command.json)]),
  ].join('\n\n')
}

/** @param {readonly number[] | undefined} codes */
function codesText(codes) {
  return codes === undefined ? '' : ` (exit codes besides 0, 1, 2, 5 and 130: ${codes.join(', ')})`
}

/** @param {{ name: string, isOptional?: boolean, isVariadic?: boolean }} argument */
function shownArgument({ name, isOptional = false, isVariadic = false }) {
  const shown = name.replaceAll(/[A-Z]/g, '-$&').toUpperCase() + (isVariadic ? '...' : '')
  return isOptional ? `[${shown}]` : shown
}

/** @param {string} text */
function escapeCell(text) {
  return text.replaceAll('|', '\\|')
}

/** @param {string} language @param {readonly string[]} lines */
function fenced(language, lines) {
  return ['```' + language, ...lines, '```'].join('\n')
}
