import { CliError } from './cli-error.js'
import type { Confirmation } from './context.js'
import { cleanText } from './output/clean-text.js'

/** Who can be asked. */
export interface Asking {
  /** `--yes`. */
  readonly isConfirmed: boolean
  /** Whether a person can read the question and type an answer: input and standard error are a terminal, and no `--json`. */
  readonly isInteractive: boolean
  /** Ends the question. */
  readonly signal?: AbortSignal
}

/** Has a person type a name before something is destroyed. @throws {@link CliError} CLI_NOT_CONFIRMED, CLI_INTERRUPTED */
export async function confirm({ typed, consequences }: Confirmation, asking: Asking): Promise<void> {
  if (asking.isConfirmed) return
  if (!asking.isInteractive) {
    throw new CliError(
      'CLI_NOT_CONFIRMED',
      `This needs a confirmation, and nobody can be asked here: pass --yes. ${consequences.join(' ')}`,
    )
  }
  const { isCancel, note, text } = await import('@clack/prompts')
  const output = process.stderr
  note(consequences.map((line) => cleanText(line)).join('\n'), 'What happens', { output })
  const answer = await text({
    message: `Type ${cleanText(typed)} to confirm`,
    output,
    ...(asking.signal && { signal: asking.signal }),
  })
  if (isCancel(answer)) throw new CliError('CLI_INTERRUPTED', 'Interrupted: nothing was changed')
  if (answer !== typed) throw new CliError('CLI_NOT_CONFIRMED', 'That was not the name: nothing was changed')
}
