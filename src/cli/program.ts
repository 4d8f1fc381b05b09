import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { CliError } from './cli-error.js'
import type { AnyCommand, GroupDefinition, OptionDefinition } from './command.js'
import { optionsOf } from './common-options.js'
import { exitCodeMeanings } from './exit-codes.js'
import { groups } from './groups.js'
import { shapeText } from './output/shape-text.js'

/** Options that every command has, as input. */
export interface CommonInput {
  readonly json?: boolean
  readonly config?: string
  readonly verbose?: boolean
  readonly actor?: string
  readonly yes?: boolean
}

/** Runs a command that was found on the command line. */
export type Runner = (command: AnyCommand, input: CommonInput & Readonly<Record<string, unknown>>) => Promise<void>

/**
 * Makes the program. Only the commands of the group that the command line names are loaded and known; of the others, help
 * shows what this module knows.
 */
export async function createProgram(argv: readonly string[], run: Runner): Promise<Command> {
  const program = new Command('tenants2fast')
  program
    .description('Operates an installation of tenants2fast: tenants, users, migrations.')
    .usage('COMMAND [OPTIONS]')
    .helpOption('-h, --help', 'show help; COMMAND --help shows more')
    .helpCommand(false)
    .version(await versionFor(argv), versionFlags.join(', '), 'show the version')
    .addHelpText('after', rootHelp)
  const named = groups.find(({ name }) => name === argv.find((word) => !word.startsWith('-')))
  for (const group of groups) {
    program.addCommand(
      group === named ? await loadedGroup(group, run) : new Command(group.name).description(group.summary),
    )
  }
  return quietly(program)
}

const versionFlags = ['-V', '--version']

/** Reads the version only where it is asked for. */
async function versionFor(argv: readonly string[]): Promise<string> {
  if (!argv.some((word) => versionFlags.includes(word))) return 'unknown'
  return (await import('../core/package-version.js')).packageVersion()
}

const rootHelp = `
Examples:
  tenants2fast tenant create acme --name "Acme Ltd" --owner dana@example.com
  tenants2fast tenant list --json
  tenants2fast migrate up --canary 1%

Exit codes:
${Object.entries(exitCodeMeanings)
  .map(([code, meaning]) => `  ${code.padEnd(4)} ${meaning}`)
  .join('\n')}

Settings are read from the environment and .env (docs/config.md). NO_COLOR turns colours off.`

async function loadedGroup(group: GroupDefinition, run: Runner): Promise<Command> {
  const { commands } = await group.load()
  const [first] = commands
  if (group.isCommand === true && first !== undefined) return commandOf(first, run)
  const parent = new Command(group.name).description(group.summary).usage('COMMAND [OPTIONS]').helpCommand(false)
  parent.addHelpText('after', examplesText(commands.flatMap(({ examples }) => examples.slice(0, 1))))
  for (const command of commands) parent.addCommand(commandOf(command, run))
  return parent
}

function commandOf(definition: AnyCommand, run: Runner): Command {
  const command = new Command(definition.name).description(
    [`${definition.summary}.`, definition.description].filter((text) => text !== undefined).join('\n\n'),
  )
  command.summary(definition.summary)
  for (const argument of definition.arguments ?? []) {
    const name = argument.name.replaceAll(/[A-Z]/g, '-$&').toUpperCase() + (argument.isVariadic === true ? '...' : '')
    const made = new Argument(argument.isOptional === true ? `[${name}]` : `<${name}>`, argument.description)
    if (argument.parse !== undefined) made.argParser(reading(argument.parse))
    command.addArgument(made)
  }
  for (const option of optionsOf(definition)) command.addOption(optionOf(option))
  command.addHelpText('after', detailsText(definition))
  command.action(async (...given: unknown[]) => {
    const values = given.slice(0, -2)
    const named = (definition.arguments ?? []).map(({ name }, index) => [name, values[index]] as const)
    const filled = named.filter(([, value]) => value !== undefined)
    await run(definition, { ...command.opts(), ...Object.fromEntries(filled) })
  })
  return command
}

function optionOf({ flags, description, parse, isRepeatable = false, isRequired = false }: OptionDefinition): Option {
  // `--name TEXT` is how help of other programs writes it; commander wants `--name <TEXT>`.
  const made = new Option(flags.replace(/ ([A-Z|%[\]]+)$/, ' <$1>'), description)
  if (isRequired) made.makeOptionMandatory()
  const read = parse && reading(parse)
  if (isRepeatable) {
    const add = (text: string, earlier: readonly unknown[] = []) => [...earlier, read === undefined ? text : read(text)]
    made.argParser(add)
  } else if (read !== undefined) made.argParser(read)
  return made
}

/** A reader whose refusals commander reports with the option's name. */
function reading(parse: (text: string) => unknown) {
  return (text: string): unknown => {
    try {
      return parse(text)
    } catch (error) {
      throw error instanceof CliError ? new InvalidArgumentError(`It ${error.message}.`) : error
    }
  }
}

function examplesText(examples: AnyCommand['examples']): string {
  const lines = examples.map(({ command, says }) => `  # ${says}\n  tenants2fast ${command}`)
  return `\nExamples:\n${lines.join('\n')}`
}

function detailsText({ examples, json, exitCodes = [] }: AnyCommand): string {
  const codes = ([0, 1, 2, ...exitCodes, 5, 130] as const).map(
    (code) => `  ${String(code).padEnd(4)} ${exitCodeMeanings[code]}`,
  )
  return `${examplesText(examples)}\n\nJSON:\n${shapeText(json, '  ')}\n\nExit codes:\n${codes.join('\n')}`
}

/** Nothing ends the process or writes by itself but help. */
function quietly(command: Command): Command {
  command.exitOverride().showSuggestionAfterError(true)
  command.configureOutput({ outputError: () => {} })
  for (const child of command.commands) quietly(child)
  return command
}
