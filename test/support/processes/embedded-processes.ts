import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { ServerAccount } from '../../../src/core/tenants/database-target.js'
import { CompiledProgram } from './compiled-program.js'

/** Message of a process that has started the embedded server, or failed to. */
export interface ProcessAnswer {
  readonly account: ServerAccount
  readonly adopted: boolean
  readonly pid: number
  readonly code?: string
  readonly message?: string
}

/** Node processes of their own that start the embedded server. */
export class EmbeddedProcesses {
  readonly #program = new CompiledProgram('test/support/processes/embedded-main.ts')
  readonly #children: ChildProcess[] = []

  /** Starts one; `answer` comes when its server runs or has failed to start. */
  start(
    dataDir: string,
    identity: { uid?: number; gid?: number } = {},
  ): { child: ChildProcess; answer: Promise<ProcessAnswer> } {
    const child = fork(this.#program.path, [dataDir], { cwd: '/', execArgv: [], detached: true, ...identity })
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
  close(): void {
    for (const child of this.#children) if (child.exitCode === null) child.kill('SIGKILL')
    this.#program.remove()
  }
}
