import { AsyncLocalStorage } from 'node:async_hooks'
import { Agent, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { getCurrentTenant, getTenantPool } from '../../src/core/context/current.js'
import type { TenantPool } from '../../src/core/tenants/tenant-pool.js'
import { leakedState } from '../connections/session/session-probe.js'
import type { TestInstallation, TestTenant } from './installation.js'
import { type Operation, operations } from './operations.js'
import { seededRandom } from '../support/seeded-random.js'

/** Results of a run. */
export interface WorkloadReport {
  readonly operations: number
  readonly viaHttp: number
  readonly aborted: number
  /** Sessions that were searched for state of earlier operations. */
  readonly probes: number
  /** Searches of a connection that had been searched before: only these could find anything. */
  readonly reused: number
  readonly rows: number
  /** Requests that were refused as busy or given up; no findings. */
  readonly busy: number
  readonly byName: Readonly<Record<string, number>>
  /** The first of the findings: foreign rows, foreign contexts, leaked state, unexpected errors. */
  readonly findings: readonly string[]
  readonly foreignRows: number
  readonly leaks: number
}

export interface WorkloadOptions {
  readonly installation: TestInstallation
  readonly count: number
  readonly seed: number
  readonly workers: number
  readonly onProgress?: (report: WorkloadReport) => void
}

const busyCodes = /^TENANCY_(?:CONNECTION_(?:TIMEOUT|QUEUE_FULL|ABORTED)|CATALOG_UNAVAILABLE)$/
const names = Object.keys(operations)
const caller = new AsyncLocalStorage<string>()

/** Drives random operations over all tenants: half of them through a real HTTP server, half through tenant pools. */
export async function runWorkload(options: WorkloadOptions): Promise<WorkloadReport> {
  const workload = new Workload(options)
  await workload.run()
  return workload.report()
}

class Workload {
  readonly #options: WorkloadOptions
  readonly #findings: string[] = []
  readonly #byName: Record<string, number> = {}
  readonly #lastByPid = new Map<number, string>()
  readonly #counts = {
    operations: 0,
    viaHttp: 0,
    aborted: 0,
    probes: 0,
    reused: 0,
    rows: 0,
    busy: 0,
    foreignRows: 0,
    leaks: 0,
  }
  /** Streams that failed on the server after their head was sent. */
  readonly #broken = new Set<string>()
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 12 })
  #port = 0
  #left: number

  constructor(options: WorkloadOptions) {
    this.#options = options
    this.#left = options.count
  }

  report(): WorkloadReport {
    return { ...this.#counts, byName: { ...this.#byName }, findings: [...this.#findings] }
  }

  async run(): Promise<void> {
    const app = Fastify({ bodyLimit: 1 << 20 }) as unknown as FastifyInstance
    const progress = setInterval(() => this.#options.onProgress?.(this.report()), 10_000)
    try {
      await this.#serve(app)
      await Promise.all(Array.from({ length: this.#options.workers }, (_, worker) => this.#work(worker)))
    } finally {
      clearInterval(progress)
      this.#agent.destroy()
      await app.close()
    }
  }

  async #serve(app: FastifyInstance): Promise<void> {
    await app.register(tenancyPlugin, { tenancy: this.#options.installation.tenancy })
    app.post('/operations/:name', async (request) => {
      const { name } = request.params as { name: string }
      const { nonce, seed } = request.body as { nonce: string; seed: number }
      const { slug } = request.tenant
      await caller.run(nonce, () =>
        this.#operate(name, slug, nonce, seededRandom(seed), getTenantPool(), () => getCurrentTenant().slug),
      )
      return { slug: getCurrentTenant().slug, nonce }
    })
    app.get('/rows/:nonce', (request, reply) => {
      const { nonce } = request.params as { nonce: string }
      const pool = getTenantPool()
      const failed = (error: unknown) => {
        this.#broken.add(nonce)
        this.#failed(`stream ${nonce}`, error)
      }
      const rows = async function* () {
        for (let page = 0; page < 3; page += 1) {
          const answer = await pool
            .query('select tenant, $1::text as nonce from notes limit 5', [nonce])
            .catch((error: unknown) => {
              failed(error)
              throw error
            })
          for (const row of answer.rows) yield `${JSON.stringify({ ...row, now: getCurrentTenant().slug })}\n`
          await sleep(1)
        }
      }
      void reply.send(Readable.from(rows()))
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    this.#port = (app.server.address() as AddressInfo).port
  }

  async #work(worker: number): Promise<void> {
    const { installation, seed } = this.#options
    const { tenants, tenancy } = installation
    const random = seededRandom(seed * 1000 + worker)
    while (this.#left > 0 && this.#findings.length < 50) {
      this.#left -= 1
      // Mostly within a small group of tenants that changes over time: connections are reused within it, evicted elsewhere.
      const group = Math.floor((this.#options.count - this.#left) / 100) * 3
      const index =
        random() < 0.85 ? (group + Math.floor(random() * 3)) % tenants.length : Math.floor(random() * tenants.length)
      const target = tenants[index] as TestTenant
      const name = names[Math.floor(random() * names.length)] ?? 'read'
      const nonce = `${worker}-${this.#left}`
      const where = `operation ${nonce} (${name}, ${target.tenant.slug})`
      this.#counts.operations += 1
      this.#byName[name] = (this.#byName[name] ?? 0) + 1
      try {
        if (random() < 0.5) await this.#viaHttp(target, name, nonce, random)
        else {
          const pool = tenancy.getTenantPool(target.tenant)
          await caller.run(nonce, () => this.#operate(name, target.tenant.slug, nonce, random, pool))
        }
        if (random() < 0.6) await this.#probe(target, where)
      } catch (error) {
        this.#failed(where, error)
      }
    }
  }

  async #operate(
    name: string,
    slug: string,
    nonce: string,
    random: () => number,
    pool: TenantPool,
    currentSlug?: () => string,
  ): Promise<void> {
    const { prefix } = this.#options.installation
    const operation: Operation = {
      pool,
      slug,
      nonce,
      random,
      members: `${prefix}members`,
      saw: (rows) => this.#saw(`${name} of ${slug}`, slug, nonce, rows),
      checkContext: (where) => {
        const [context, tenant] = [caller.getStore(), currentSlug?.() ?? slug]
        if (context !== nonce || tenant !== slug)
          this.#foreign(`${name} of ${slug} was in ${tenant} (${context}) ${where}`)
      },
    }
    const run = operations[name]
    if (run === undefined) throw new Error(`no operation ${name}`)
    await run(operation)
    operation.checkContext('after it')
  }

  #saw(where: string, slug: string, nonce: string, rows: readonly object[]): void {
    for (const row of rows as { tenant?: unknown; nonce?: unknown }[]) {
      this.#counts.rows += 1
      if (row.tenant !== slug || row.nonce !== nonce)
        this.#foreign(`${where} saw ${JSON.stringify(row)} instead of ${nonce}`)
    }
  }

  async #viaHttp(target: TestTenant, name: string, nonce: string, random: () => number): Promise<void> {
    this.#counts.viaHttp += 1
    const { tenant } = target
    const token = await this.#options.installation.tokenOf(target)
    const isRead = name === 'stream' || name === 'several'
    const outgoing = httpRequest({
      port: this.#port,
      agent: this.#agent,
      method: isRead ? 'GET' : 'POST',
      path: isRead ? `/rows/${nonce}` : `/operations/${name}`,
      headers: { authorization: `Bearer ${token}`, ...(isRead ? {} : { 'content-type': 'application/json' }) },
    })
    const body = JSON.stringify({
      nonce,
      seed: Math.floor(random() * 1e9),
      padding: 'x'.repeat(Math.floor(random() ** 4 * 60_000)),
    })
    const isAborted = random() < 0.1
    const response = new Promise<Readable & { statusCode: number }>((resolve, reject) => {
      outgoing.once('response', resolve as (response: unknown) => void)
      outgoing.once('error', reject)
    })
    if (isRead) outgoing.end()
    else {
      outgoing.write(body.slice(0, 20))
      if (random() < 0.3) await sleep(1)
      outgoing.end(body.slice(20))
    }
    if (isAborted) {
      this.#counts.aborted += 1
      response.catch(() => {})
      await sleep(random() * 12)
      outgoing.destroy()
      return
    }
    const answer = await response
    const text = await answer
      .setEncoding('utf8')
      .toArray()
      .then(
        (chunks) => chunks.join(''),
        (error: unknown) => {
          // The server ended the stream and has reported why.
          if (isRead && this.#broken.has(nonce)) return ''
          throw error
        },
      )
    if (answer.statusCode !== 200) throw httpError(answer.statusCode, text)
    if (!isRead)
      return this.#saw('an answer', tenant.slug, nonce, [renamed(JSON.parse(text) as { slug: string; nonce: string })])
    for (const line of text.split('\n').filter(Boolean)) {
      const row = JSON.parse(line) as { tenant: string; nonce: string; now: string }
      this.#saw('a stream', tenant.slug, nonce, [row, { tenant: row.now, nonce: row.nonce }])
    }
  }

  /** Searches the whole session of a connection for state of earlier operations. */
  async #probe({ tenant }: TestTenant, after: string): Promise<void> {
    const client = await this.#options.installation.tenancy.getTenantPool(tenant).connect()
    try {
      const { rows } = await client.query<{ pid: number; tenant: string }>(
        'select pg_backend_pid() as pid, tenant from notes limit 1',
      )
      const pid = rows[0]?.pid ?? 0
      if (rows[0]?.tenant !== tenant.slug) this.#foreign(`a probe of ${tenant.slug} saw ${rows[0]?.tenant}`)
      this.#counts.probes += 1
      if (this.#lastByPid.has(pid)) this.#counts.reused += 1
      const leaks = await leakedState(client)
      if (leaks.length > 0) {
        this.#counts.leaks += 1
        this.#found(
          `left in backend ${pid}, after ${after}; before that ${this.#lastByPid.get(pid)}: ${leaks.join(', ')}`,
        )
      }
      this.#lastByPid.set(pid, after)
    } finally {
      client.release()
    }
  }

  #foreign(what: string): void {
    this.#counts.foreignRows += 1
    this.#found(what)
  }

  #failed(where: string, error: unknown): void {
    const { code, message } = error as { code?: string; message?: string }
    if (busyCodes.test(code ?? '')) this.#counts.busy += 1
    else this.#found(`${where}: ${code ?? ''} ${message ?? String(error)}`)
  }

  #found(what: string): void {
    if (this.#findings.length < 50) this.#findings.push(what)
  }
}

function renamed({ slug, nonce }: { slug: string; nonce: string }) {
  return { tenant: slug, nonce }
}

function httpError(status: number, text: string): Error {
  const { code, message } = JSON.parse(text) as { code?: string; message?: string }
  return Object.assign(new Error(`${status} ${message ?? text}`), { code })
}
