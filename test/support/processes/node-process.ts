import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** How a process ended: its exit code, or the signal that ended it. */
export type Ending = number | NodeJS.Signals

/** A Node process that a test started. */
export interface NodeProcess {
  readonly pid: number
  /** What it has written so far. */
  readonly stdout: string
  readonly stderr: string
  readonly ended: Promise<Ending>
  /** Resolves when its standard output holds `text`; rejects when it ends first. */
  printed(text: string): Promise<void>
  kill(signal: NodeJS.Signals): void
}

/** Options of {@link startNode}. */
export interface NodeProcessOptions {
  /** All of its environment but PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** The program as text, an ES module that can import the package by its name; instead of `args`. */
  readonly program?: string
}

/** The folder of the repository. */
export const repository = root

/** Starts Node on the built package (`npm test` builds it first). The caller waits for `ended`. */
export function startNode(args: readonly string[], options: NodeProcessOptions = {}): NodeProcess {
  if (!existsSync(`${root}dist/index.js`)) throw new Error('The package is not built: npm run build')
  const { env = {}, cwd = root, program } = options
  const kept = { PATH: process.env['PATH'], HOME: process.env['HOME'] }
  const child: ChildProcess = spawn(process.execPath, program === undefined ? args : ['--input-type=module', '-'], {
    cwd,
    env: { ...kept, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin?.on('error', () => {})
  child.stdin?.end(program)
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk
    })
  }
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as Ending)
  return {
    pid: child.pid ?? 0,
    get stdout() {
      return text.stdout
    },
    get stderr() {
      return text.stderr
    },
    ended,
    async printed(wanted) {
      await new Promise<void>((resolve, reject) => {
        const look = () => {
          if (text.stdout.includes(wanted)) resolve()
        }
        child.stdout?.on('data', look)
        look()
        void ended.then((ending) =>
          reject(new Error(`The process ended (${ending}) without ${wanted}:\n${text.stdout}\n${text.stderr}`)),
        )
      })
    },
    kill: (signal) => void child.kill(signal),
  }
}
