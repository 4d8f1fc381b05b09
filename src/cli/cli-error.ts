import { type ExitCode, exitCodes } from './exit-codes.js'

/** Codes of failures that only the command line has; the others are those of `TenancyError`. */
export const cliErrorCodes = {
  CLI_USAGE: { exitCode: exitCodes.usage, fix: 'See --help' },
  CLI_CONFIG_INVALID: { exitCode: exitCodes.usage, fix: 'Correct the file that the message names' },
  CLI_NOT_FOUND: { exitCode: exitCodes.notFound, fix: 'Check the name' },
  CLI_FILE_EXISTS: { exitCode: exitCodes.refused, fix: 'Choose another name' },
  CLI_NOT_CONFIRMED: { exitCode: exitCodes.refused, fix: 'Type the name that is asked for, or pass --yes' },
  CLI_INTERRUPTED: { exitCode: exitCodes.interrupted, fix: 'Run the command again: it goes on where it stopped' },
  CLI_FAILED: { exitCode: exitCodes.failed, fix: 'Run the command again with --verbose' },
} as const satisfies Readonly<Record<string, { readonly exitCode: ExitCode; readonly fix: string }>>

/** A failure of the command line itself. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: keyof typeof cliErrorCodes

  constructor(code: keyof typeof cliErrorCodes, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
