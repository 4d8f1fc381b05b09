/** Ends what must not outlive this process. Synchronous: it runs while the process exits. */
type LastAct = () => void

const lastActs = new Set<LastAct>()
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs `act` when the process exits, also by Ctrl-C or `kill` when nobody else handles those signals (then the signal
 * still ends the process, as it would have). The returned function takes `act` back.
 */
export function onProcessExit(act: LastAct): () => void {
  if (lastActs.size === 0) {
    process.once('exit', runLastActs)
    // First in line: a `once` listener of the application is gone from the list as soon as its turn has come.
    for (const signal of signals) process.prependListener(signal, onSignal)
  }
  lastActs.add(act)
  return () => {
    if (lastActs.delete(act) && lastActs.size === 0) removeListeners()
  }
}

function onSignal(signal: NodeJS.Signals): void {
  // Somebody else handles the signal: the application decides when to stop, and `exit` follows if it ends.
  if (process.listenerCount(signal) > 1) return
  runLastActs()
  process.kill(process.pid, signal)
}

function runLastActs(): void {
  for (const act of lastActs) {
    try {
      act()
    } catch {
      // The process is going down, and the others still have to run.
    }
  }
  lastActs.clear()
  removeListeners()
}

function removeListeners(): void {
  process.removeListener('exit', runLastActs)
  for (const signal of signals) process.removeListener(signal, onSignal)
}
