import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createClient } from 'redis'
import { loadConfig } from '../../src/core/config/load-config.js'
import { processIdentity } from '../../src/databases/embedded/process-identity.js'
import { type EmbeddedServer, startEmbeddedServer } from '../../src/databases/embedded/index.js'
import { createTenancy } from '../../src/tenancy.js'
import type { Tenancy } from '../../src/tenancy-interface.js'
import { CompiledProgram } from '../support/processes/compiled-program.js'
import { startTcpProxy, type TcpProxy } from '../support/proxies/tcp-proxy.js'
import { silentLogger } from '../support/silent-logger.js'
import type { ProcessReport } from './process.js'

/** How one process learns of changes. */
export type Mode = 'listen' | 'poll' | 'strict'

/** One process of the application, with proxies of its own to PostgreSQL and Redis. */
export interface AppProcess {
  readonly mode: Mode
  readonly maxStalenessMs: number
  address: string
  child: ChildProcess
  readonly postgres: TcpProxy
  readonly redis: TcpProxy | undefined
}

/** Four processes of one installation, on a PostgreSQL of their own and the Redis of this run. */
export class Cluster {
  readonly apps: AppProcess[] = []
  readonly #program = new CompiledProgram('test/coherence/process.ts')
  readonly #secret = randomBytes(32).toString('hex')
  readonly #postgres = { host: '127.0.0.1', port: 0 }
  readonly #settings: Readonly<Record<string, string>>
  readonly #redisUrl: string | undefined
  #dataDir = ''
  #server!: EmbeddedServer
  #own!: TcpProxy
  /** The test process's own tenancy: issues tokens. */
  tenancy!: Tenancy
  /** A pool on the catalog that no fault affects but restarts of the server. */
  catalog!: pg.Pool

  constructor(redisUrl: string | undefined, settings: Readonly<Record<string, string>> = {}) {
    this.#redisUrl = redisUrl
    this.#settings = settings
  }

  async start(modes: readonly Mode[], maxStalenessMs: number): Promise<void> {
    this.#dataDir = await mkdtemp(join(tmpdir(), 't2f-coherence-'))
    this.#server = await this.#startServer()
    this.#own = await startTcpProxy(this.#postgres)
    const env = this.#envOf(this.#own, undefined)
    this.catalog = new pg.Pool({
      connectionString: this.#urlOf(this.#own, 'tenants2fast'),
      max: 8,
      query_timeout: 3000,
    })
    this.catalog.on('error', () => {})
    const starting: Promise<void>[] = []
    for (const mode of modes) {
      const redis = this.#redisUrl === undefined ? undefined : await startTcpProxy(addressOf(this.#redisUrl))
      const bound = mode === 'strict' ? 0 : maxStalenessMs
      const app = { mode, maxStalenessMs: bound, address: '', postgres: await startTcpProxy(this.#postgres), redis }
      this.apps.push(app as AppProcess)
      starting.push(this.startApp(app as AppProcess, 3))
    }
    await Promise.all(starting)
    // After the processes, whose access definition has to be the one in the catalog.
    this.tenancy = await createTenancy({
      config: loadConfig({ ...env, TENANT_SEED_PROFILE: 'prod' }),
      logger: silentLogger,
    })
  }

  /** @param tries more than one where only a busy machine can make the start fail */
  async startApp(app: AppProcess, tries = 1): Promise<void> {
    for (let attempt = 1; attempt < tries; attempt += 1) {
      const failure = await this.#startApp(app).catch((error: unknown) => error)
      if (failure === undefined) return
    }
    await this.#startApp(app)
  }

  async #startApp(app: AppProcess): Promise<void> {
    const env = {
      ...this.#envOf(app.postgres, app.redis),
      PATH: process.env['PATH'],
      TENANT_MAX_STALENESS_MS: String(app.maxStalenessMs),
      TENANT_CHANGES_BY: app.mode === 'poll' ? 'poll' : 'listen',
    }
    const child = fork(this.#program.path, [], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env })
    app.child = child
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('A process of the application ended')))
    ended.catch(() => {})
    const [report] = (await Promise.race([once(child, 'message'), ended])) as [ProcessReport]
    app.address = report.address
  }

  /** Asks a process to stop, and kills it after 20 s. */
  async stopApp({ child }: AppProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGCONT')
    child.send('stop')
    const killTimer = setTimeout(() => child.kill('SIGKILL'), 20_000)
    await exited
    clearTimeout(killTimer)
  }

  async restartPostgres(signal: NodeJS.Signals, awayMs: number): Promise<void> {
    const { pid } = this.#server
    process.kill(pid, signal)
    while (processIdentity(pid) !== undefined) await sleep(5)
    await this.#server.stop()
    await sleep(awayMs)
    this.#server = await this.#startServer()
  }

  /** Runs a query on the catalog; repeats it, because on a busy machine it may take longer than `query_timeout`. */
  async query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<pg.QueryResult<Row>> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.catalog.query<Row>(text, values)
      } catch (error) {
        if (attempt === 20) throw error
        await sleep(50)
      }
    }
  }

  /** Removes what this installation has put into Redis. */
  async flushRedis(): Promise<void> {
    if (this.#redisUrl === undefined) return
    const { rows } = await this.query<{ id: string }>('select id from installation')
    const client = createClient({ url: this.#redisUrl })
    await client.connect()
    for await (const keys of client.scanIterator({ MATCH: `tenants2fast:member:${rows[0]?.id}:*`, COUNT: 1000 })) {
      if (keys.length > 0) await client.del(keys)
    }
    client.destroy()
  }

  async close(): Promise<void> {
    await Promise.all(this.apps.map((app) => this.stopApp(app)))
    await this.flushRedis()
    await this.tenancy.close()
    await this.catalog.end()
    for (const { postgres, redis } of this.apps) {
      await postgres.close()
      await redis?.close()
    }
    await this.#own.close()
    await this.#server.stop()
    this.#program.remove()
    await rm(this.#dataDir, { recursive: true, force: true, maxRetries: 5 })
  }

  async #startServer(): Promise<EmbeddedServer> {
    const settings = { fsync: 'off', max_connections: '200' }
    const server = await startEmbeddedServer({ dataDir: this.#dataDir, logger: silentLogger, settings })
    // The supervisor finds a new port at every start; the application knows the proxies'.
    this.#postgres.port = server.account.port
    return server
  }

  #urlOf(proxy: TcpProxy, database: string): string {
    const { user, password } = this.#server.account
    return `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${proxy.port}/${database}`
  }

  #envOf(postgres: TcpProxy, redis: TcpProxy | undefined): Record<string, string> {
    return {
      TENANT_DATABASE_URL: this.#urlOf(postgres, 'postgres'),
      TENANT_SECRET: this.#secret,
      TENANT_READY_DATABASES: '0',
      TENANT_MAX_CONNECTIONS: '5',
      TENANT_PROCESSES: '5',
      ...(redis === undefined ? {} : { TENANT_REDIS_URL: `redis://127.0.0.1:${redis.port}` }),
      ...this.#settings,
    }
  }
}

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port || 6379) }
}
