import { CommanderError } from 'commander'
import { errorTable, findTenancyError, type TenancyErrorCode } from '../core/errors/errors.js'
import { CliError, cliErrorCodes } from './cli-error.js'
import { type ExitCode, exitCodes } from './exit-codes.js'
import { withTypedNames } from './opening/typed-names.js'
import { cleanText } from './output/clean-text.js'
import { styled, terminalOf } from './output/terminal.js'
import { write } from './output/write.js'

/** A failure, as `--json` writes it to standard error. */
export interface Failure {
  readonly code: string
  readonly message: string
  /** What to do. */
  readonly fix: string
  readonly exitCode: ExitCode
}

/** Describes any error for people and programs, without a stack. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof CliError) return { code: error.code, message: error.message, ...cliErrorCodes[error.code] }
  const known = findTenancyError(error)
  if (known !== undefined) {
    const { fix } = errorTable[known.code]
    const message = withTypedNames(known.message)
    return { code: known.code, message, fix, exitCode: exitCodeOf(known.code, known.statusCode) }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { code: 'CLI_FAILED', message, ...cliErrorCodes.CLI_FAILED }
}

function exitCodeOf(code: TenancyErrorCode, status: number): ExitCode {
  if (code.startsWith('TENANCY_CONFIG_') || code === 'TENANCY_REQUEST_INVALID' || status === 422) return exitCodes.usage
  if (code === 'TENANCY_ACCOUNTS_EMAIL_INVALID') return exitCodes.usage
  if (status === 404) return exitCodes.notFound
  if (status === 403 || status === 409) return exitCodes.refused
  if (status === 503) return exitCodes.unavailable
  return exitCodes.failed
}

/** Writes a failure to standard error: for people, or with `--json` as `{ error: Failure }` on one line. */
export async function reportFailure(error: unknown, isJson: boolean): Promise<ExitCode> {
  const failure = describeFailure(error instanceof CommanderError ? usageError(error) : error)
  const { code, message, fix, exitCode } = failure
  const terminal = terminalOf(process.stderr)
  const lines = [
    `${styled(terminal, 'red', 'error:')} ${cleanText(message, { keepLines: true })}`,
    styled(terminal, 'dim', `${code}: ${fix}`),
  ]
  await write(process.stderr, `${isJson ? JSON.stringify({ error: failure }) : lines.join('\n')}\n`)
  return exitCode
}

function usageError({ message }: CommanderError): CliError {
  return new CliError('CLI_USAGE', message.replace(/^error: /, ''))
}
