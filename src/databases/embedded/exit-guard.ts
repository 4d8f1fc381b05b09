/** Ends what must not outlive this process. Synchronous, because it runs while the process exits. */
type ExitHandler = () => void

const exitHandlers = new Set<ExitHandler>()
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs `handler` when the process exits, also by Ctrl-C or `kill` when the application does not handle those signals (the
 * signal then ends the process as usual). The returned function removes the handler.
 */
export function onProcessExit(handler: ExitHandler): () => void {
  if (exitHandlers.size === 0) {
    process.once('exit', runExitHandlers)
    // Prepended: a `once` listener of the application is removed from the list before it runs, and would not be counted.
    for (const signal of signals) process.prependListener(signal, onSignal)
  }
  exitHandlers.add(handler)
  return () => {
    if (exitHandlers.delete(handler) && exitHandlers.size === 0) removeListeners()
  }
}

function onSignal(signal: NodeJS.Signals): void {
  // The application handles the signal and decides when to stop; `exit` follows if it ends.
  if (process.listenerCount(signal) > 1) return
  runExitHandlers()
  process.kill(process.pid, signal)
}

function runExitHandlers(): void {
  for (const handler of exitHandlers) {
    try {
      handler()
    } catch {
      // The process exits, and the other handlers still have to run.
    }
  }
  exitHandlers.clear()
  removeListeners()
}

function removeListeners(): void {
  process.removeListener('exit', runExitHandlers)
  for (const signal of signals) process.removeListener(signal, onSignal)
}
