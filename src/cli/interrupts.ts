import { CliError } from './cli-error.js'
import { exitCodes } from './exit-codes.js'

/** What Ctrl-C, SIGTERM and SIGHUP do. */
export interface Interrupts {
  /** Aborted by the first signal: work stops at the next safe point. */
  readonly signal: AbortSignal
  /** @throws {@link CliError} CLI_INTERRUPTED after the first signal */
  throwIfInterrupted(): void
  /** Ignores Ctrl-C from now on: a program that was started has the terminal, and gets it as well. */
  leave(): void
  stop(): void
}

const ignore = () => {}

/** Listens to signals: the first one asks the command to stop, the second one ends the process at once. */
export function listenToInterrupts(say: (text: string) => void): Interrupts {
  const controller = new AbortController()
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted)
    say('Stopping at the next safe point. Press Ctrl-C again to end at once.')
    controller.abort(interrupted())
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of signals) process.on(name, onSignal)
  return {
    signal: controller.signal,
    throwIfInterrupted() {
      if (controller.signal.aborted) throw interrupted()
    },
    leave() {
      process.off('SIGINT', onSignal)
      process.on('SIGINT', ignore)
    },
    stop() {
      process.off('SIGINT', ignore)
      for (const name of signals) process.off(name, onSignal)
    },
  }
}

const interrupted = () => new CliError('CLI_INTERRUPTED', 'Interrupted')
