import { execFileSync, fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ServerAccount } from '../../src/core/database-target.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

const program = `
import { startEmbeddedServer } from './databases/embedded/supervisor.js'
process.on('message', async (message) => {
  if (message === 'exit') process.exit(0)
  if (message === 'stop') { await server.stop(); process.send('stopped') }
})
let server
try {
  server = await startEmbeddedServer({ dataDir: process.argv[2], settings: { fsync: 'off' } })
  process.send({ account: server.account, adopted: server.adopted, pid: server.pid })
} catch (error) {
  process.send({ code: error.code, message: error.message })
}
`

/** What a process answers that started the embedded server, or failed to. */
export interface ProcessAnswer {
  readonly account: ServerAccount
  readonly adopted: boolean
  readonly pid: number
  readonly code?: string
  readonly message?: string
}

/** Node processes of their own that start the embedded server: the supervisor, compiled by tsc into a temp folder. */
export class EmbeddedProcesses {
  readonly folder = mkdtempSync(join(tmpdir(), 't2f-processes-'))
  readonly #children: ChildProcess[] = []

  constructor() {
    chmodSync(this.folder, 0o755)
    const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
    execFileSync(
      process.execPath,
      [
        tsc,
        '--outDir',
        this.folder,
        '--rootDir',
        join(root, 'src'),
        '--ignoreConfig',
        '--module',
        'nodenext',
        '--target',
        'es2022',
        '--lib',
        'es2023',
        '--types',
        'node',
        '--skipLibCheck',
        join(root, 'src/databases/embedded/supervisor.ts'),
      ],
      { cwd: root, stdio: 'inherit' },
    )
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'))
    writeFileSync(join(this.folder, 'package.json'), '{"type":"module"}')
    writeFileSync(join(this.folder, 'main.js'), program)
  }

  /** Starts one; `answer` comes when its server runs or has failed to start. */
  start(
    dataDir: string,
    identity: { uid?: number; gid?: number } = {},
  ): { child: ChildProcess; answer: Promise<ProcessAnswer> } {
    const child = fork(join(this.folder, 'main.js'), [dataDir], { cwd: '/', execArgv: [], detached: true, ...identity })
    this.#children.push(child)
    return { child, answer: once(child, 'message').then(([answer]) => answer as ProcessAnswer) }
  }

  /** Lets the process call `stop()`, then ends it. */
  async stop(child: ChildProcess): Promise<void> {
    const stopped = once(child, 'message')
    child.send('stop')
    await stopped
    const exited = once(child, 'exit')
    child.disconnect()
    child.kill()
    await exited
  }

  /** Kills what still runs and removes the compiled files. */
  async close(): Promise<void> {
    for (const child of this.#children) if (child.exitCode === null) child.kill('SIGKILL')
    await rm(this.folder, { recursive: true, force: true })
  }
}
