#!/usr/bin/env node
import { CommanderError } from 'commander'
import { exitCodes } from './exit-codes.js'
import { groups } from './groups.js'
import { leaveLostTerminals } from './output/lost-terminal.js'
import { ignoreClosedPipes } from './output/write.js'
import { createProgram } from './program.js'

// Starts the command line. What a command needs is loaded when it runs: help starts as fast as Node does.

const helpCodes = ['commander.helpDisplayed', 'commander.version']

async function main(given: readonly string[]): Promise<number> {
  // `help tenant create` is `tenant create --help`.
  const argv = given[0] === 'help' ? [...given.slice(1), '--help'] : given
  const isJson = argv.includes('--json')
  try {
    let exitCode: number = exitCodes.ok
    const program = await createProgram(argv, async (command, input) => {
      const { runCommand } = await import('./run-command.js')
      exitCode = await runCommand(command, input, groups)
    })
    await program.parseAsync(argv, { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError && helpCodes.includes(error.code)) return exitCodes.ok
    // Commander has shown help: no command was named.
    if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.usage
    const { reportFailure } = await import('./report-failure.js')
    return await reportFailure(error, isJson)
  }
}

ignoreClosedPipes()
leaveLostTerminals()
process.exitCode = await main(process.argv.slice(2))
