import { closeSync, openSync } from 'node:fs'
import { isatty } from 'node:tty'

/**
 * Lets the process end as it says also when its terminal has gone: at the exit Node sets each terminal back that it was
 * started on, and aborts (SIGABRT) when that fails. Such descriptors become those of the null device.
 */
export function leaveLostTerminals(): void {
  if (process.platform === 'win32') return
  const terminals = [0, 1, 2].filter((fd) => isatty(fd))
  if (terminals.length === 0) return
  if (terminals.includes(0)) {
    const { stdin } = process
    const setRawMode = stdin.setRawMode.bind(stdin)
    // A question that ends sets the terminal back as well, and readline throws where nobody can catch it.
    stdin.setRawMode = (mode) => (isatty(0) ? setRawMode(mode) : stdin)
    stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EIO') throw error
    })
  }
  process.on('exit', () => {
    for (const fd of terminals) {
      // A terminal that has gone does not answer as one any more.
      if (isatty(fd)) continue
      try {
        closeSync(fd)
        // The lowest number that is free: this one.
        openSync('/dev/null', 'r+')
      } catch {
        // It was closed before.
      }
    }
  })
}
