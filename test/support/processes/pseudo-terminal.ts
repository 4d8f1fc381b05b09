import { spawn } from '@lydell/node-pty'
import { existsSync } from 'node:fs'
import { repository } from './node-process.js'

/** A program that runs in a terminal of its own, and a person in front of it. */
export interface PseudoTerminal {
  readonly pid: number
  /** Everything that was written, with the control sequences of the terminal. */
  readonly raw: string
  /** What was written, without them. */
  readonly text: string
  /** The exit code, once it has ended. */
  readonly ended: Promise<number>
  /** Types. `\r` is Enter, `\x03` Ctrl-C. */
  type(keys: string): void
  /** Resolves when the text holds something; rejects when the program ends first. */
  shows(wanted: string | RegExp): Promise<void>
  kill(signal: NodeJS.Signals): void
  /** Closes the terminal, as a window or a lost connection does. Resolves with the exit code, or the number of the signal that ended the program. */
  hangUp(): Promise<{ readonly code: number; readonly signal: number }>
}

/** Options of {@link startInTerminal}. */
export interface TerminalOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly columns?: number
}

/** Starts the command line of the built package in a pseudo-terminal. The caller waits for `ended`. */
export function startInTerminal(args: readonly string[], options: TerminalOptions = {}): PseudoTerminal {
  const main = `${repository}dist/cli/main.js`
  if (!existsSync(main)) throw new Error('The package is not built: npm run build')
  return startProgram(process.execPath, [main, ...args], options)
}

/** Starts any program in a pseudo-terminal. */
export function startProgram(
  program: string,
  args: readonly string[],
  { env = {}, cwd = repository, columns = 100 }: TerminalOptions = {},
): PseudoTerminal {
  const kept = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '' }
  const child = spawn(program, [...args], {
    name: env['TERM'] ?? 'xterm-256color',
    cols: columns,
    rows: 40,
    cwd,
    env: { ...kept, TERM: 'xterm-256color', ...env },
  })
  let raw = ''
  const lookers = new Set<() => void>()
  child.onData((data) => {
    raw += data
    for (const look of lookers) look()
  })
  const ended = new Promise<number>((resolve) => child.onExit(({ exitCode }) => resolve(exitCode)))
  const text = () => withoutControl(raw)
  return {
    pid: child.pid,
    get raw() {
      return raw
    },
    get text() {
      return text()
    },
    ended,
    type: (keys) => child.write(keys),
    shows: (wanted) =>
      new Promise((resolve, reject) => {
        const isThere = () => (typeof wanted === 'string' ? text().includes(wanted) : wanted.test(text()))
        const look = () => {
          if (!isThere()) return
          lookers.delete(look)
          resolve()
        }
        lookers.add(look)
        look()
        void ended.then((code) => {
          if (!isThere()) reject(new Error(`The program ended (${code}) without ${String(wanted)}:\n${text()}`))
        })
      }),
    kill: (signal) => child.kill(signal),
    hangUp() {
      const end = new Promise<{ code: number; signal: number }>((resolve) =>
        child.onExit(({ exitCode, signal }) => resolve({ code: exitCode, signal: signal ?? 0 })),
      )
      // Only the types of the package lack it.
      ;(child as unknown as { destroy(): void }).destroy()
      return end
    },
  }
}

/** Text as it is read: without colours, movements of the cursor and titles (ECMA-48). */
function withoutControl(raw: string): string {
  // oxlint-disable-next-line no-control-regex
  return raw.replaceAll(/\u001B(?:\[[0-9;?]*[A-Za-z]|\][^\u0007]*\u0007|[()][A-Z0-9]|[=>78])/g, '').replaceAll('\r', '')
}
