import type { AnyCommand, GroupDefinition } from './command.js'
import { confirm } from './confirm.js'
import type { CommandContext } from './context.js'
import { exitCodes } from './exit-codes.js'
import { listenToInterrupts } from './interrupts.js'
import { type Installation, loadApplication, openInstallation, readOptions } from './opening/open-installation.js'
import { cleanText } from './output/clean-text.js'
import { createPage } from './output/page.js'
import { createProgress, type Progress } from './output/progress.js'
import { terminalOf } from './output/terminal.js'
import { write } from './output/write.js'
import type { CommonInput } from './program.js'

/** Runs one command: opens what it asks for, writes its result, closes everything. Returns the exit code. */
export async function runCommand(
  command: AnyCommand,
  { json: isJson = false, config: configFile, verbose: isVerbose = false, actor, yes = false, ...input }: CommonInput,
  groups: readonly GroupDefinition[],
): Promise<number> {
  const output = terminalOf(process.stdout)
  const messages = terminalOf(process.stderr)
  const bars: Progress[] = []
  const say = (text: string) => {
    if (isJson) return
    const writeText = () => void process.stderr.write(`${cleanText(text, { keepLines: true })}\n`)
    const bar = bars.at(-1)
    if (bar) bar.above(writeText)
    else writeText()
  }
  const interrupts = listenToInterrupts(say)
  let opened: Promise<Installation> | undefined
  const context: CommandContext = {
    async open(purpose = 'administer') {
      interrupts.throwIfInterrupted()
      opened ??= openInstallation({ purpose, configFile, actor, isVerbose, say })
      const installation = await opened
      interrupts.throwIfInterrupted()
      return installation
    },
    options: () => readOptions(configFile),
    async openAnother(purpose) {
      return (await openInstallation({ purpose, configFile, actor: undefined, isVerbose, say })).tenancy
    },
    application: () => loadApplication(configFile),
    leaveInterrupts: () => interrupts.leave(),
    signal: interrupts.signal,
    isJson,
    isConfirmed: yes,
    places: async () => (await import('./completion/command-tree.js')).commandTree(groups),
    output,
    messages,
    confirm: (confirmation) =>
      confirm(confirmation, {
        isConfirmed: yes,
        isInteractive: !isJson && process.stdin.isTTY && messages.isTerminal,
        signal: interrupts.signal,
      }),
    async progress(what) {
      const bar = await createProgress(what, isJson ? { ...messages, isTerminal: false } : messages)
      bars.push(bar)
      return bar
    },
    say,
    print: (text) => write(process.stdout, text),
  }
  try {
    const result = await command.run(context, input)
    for (const bar of bars) bar.stop()
    if (result !== undefined) {
      await write(process.stdout, isJson ? `${JSON.stringify(result, null, 2)}\n` : rendered(command, result, output))
    }
    return command.exitCode?.(result) ?? exitCodes.ok
  } finally {
    for (const bar of bars) bar.stop()
    await close(opened)
    interrupts.stop()
  }
}

function rendered(command: AnyCommand, result: unknown, terminal: ReturnType<typeof terminalOf>): string {
  const { page, text } = createPage(terminal)
  command.render(result, page)
  return text()
}

async function close(opened: Promise<Installation> | undefined): Promise<void> {
  const installation = await opened?.catch(() => undefined)
  await installation?.tenancy.close()
}
