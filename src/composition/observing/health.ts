import { connect } from 'node:net'
import type { Coherence } from '../../cache/changes/coherence.js'
import type { MemberTier } from '../../cache/redis/redis.js'
import type { ServerAddress } from '../../core/tenants/database-target.js'
import type { SqlClient } from '../../core/sql-client.js'
import { type HealthCheck, Probe } from './health-probe.js'

/** What {@link Tenancy.health} answers. */
export interface TenancyHealth {
  /** The process works; false after `close()`. A process that is not live is to be restarted. */
  readonly live: boolean
  /** Requests can be served; false from the moment that `close()` is called. A process that is not ready gets no requests. */
  readonly ready: boolean
  readonly checks: {
    readonly catalog: HealthCheck
    /** By name; there is one, `default`. */
    readonly servers: Readonly<Record<string, HealthCheck>>
    /** Down is only degraded: requests are served from the catalog. Left out where no Redis is configured. */
    readonly redis?: HealthCheck
    /** Ready databases; without any, creating a tenant waits for DDL. */
    readonly stock: HealthCheck
    /** Whether changes in the catalog are heard of in time; if not, requests ask the catalog. */
    readonly coherence: HealthCheck
  }
}

/** The parts that {@link createHealth} checks. */
export interface HealthParts {
  readonly catalog: SqlClient
  /** Asks the server of the tenants' databases whether it answers. */
  readonly pingServer: () => Promise<void>
  readonly pooler: ServerAddress | undefined
  readonly redis: Pick<MemberTier, 'isOpen' | 'ping'> | undefined
  readonly coherence: Pick<Coherence, 'maxStalenessMs' | 'confirmedAtMs'>
  /** How many databases should be in stock. */
  readonly readyTarget: number
  /** Longest wait for one part. Default: 2000. */
  readonly timeoutMs?: number
  /** How long an answer is reused. Default: 1000. */
  readonly rememberMs?: number
}

/** Says whether a process is live, and whether it is ready. */
export interface Health {
  /** Never rejects, and takes `timeoutMs` at most. Callers at the same time, or soon after each other, share one answer. */
  read(): Promise<TenancyHealth>
  /** From now on the process is not ready, and nothing is checked any more. */
  closing(): void
  closed(): void
}

/** Makes the checks of one process. */
export function createHealth(parts: HealthParts): Health {
  const { catalog, pingServer, pooler, redis, coherence, readyTarget, timeoutMs = 2000, rememberMs = 1000 } = parts
  const probes = {
    catalog: new Probe(timeoutMs, async () => {
      await catalog.query('select 1')
    }),
    server: new Probe(timeoutMs, async () => {
      await Promise.all([pingServer(), pooler && reach(pooler, timeoutMs)])
    }),
    redis: new Probe(timeoutMs, async () => {
      const answers = redis?.ping === undefined ? redis?.isOpen : await redis.ping()
      return answers === false
        ? { status: 'degraded', detail: 'does not answer: members are read from the catalog' }
        : undefined
    }),
    stock: new Probe(timeoutMs, async () => {
      const { rows } = await catalog.query<{ ready: number }>(
        "select count(*)::int as ready from tenant_databases where state = 'ready'",
      )
      const ready = rows[0]?.ready ?? 0
      if (ready > 0 || readyTarget === 0) return undefined
      return {
        status: 'degraded',
        detail: `none of ${readyTarget} databases is ready: creating a tenant waits for one`,
      }
    }),
    coherence: new Probe(timeoutMs, async () => {
      if (coherence.maxStalenessMs === 0) return undefined
      const silentMs = performance.now() - coherence.confirmedAtMs
      if (silentMs <= coherence.maxStalenessMs) return undefined
      return { status: 'degraded', detail: 'changes do not arrive in time: requests ask the catalog' }
    }),
  }

  async function look(): Promise<TenancyHealth['checks']> {
    const [catalogCheck, server, redisCheck, stock, changes] = await Promise.all([
      probes.catalog.run(),
      probes.server.run(),
      redis && probes.redis.run(),
      probes.stock.run(),
      probes.coherence.run(),
    ])
    return {
      catalog: catalogCheck,
      servers: { default: server },
      ...(redisCheck === undefined ? {} : { redis: atMostDegraded(redisCheck) }),
      stock: atMostDegraded(stock),
      coherence: atMostDegraded(changes),
    }
  }

  let isClosing = false
  let isClosed = false
  let looking: Promise<TenancyHealth['checks']> | undefined
  let seenAtMs = Number.NEGATIVE_INFINITY

  return {
    async read() {
      if (looking === undefined || (!isClosing && performance.now() - seenAtMs > rememberMs)) {
        seenAtMs = Number.POSITIVE_INFINITY
        looking = isClosing ? Promise.resolve(unknown()) : look().finally(() => (seenAtMs = performance.now()))
      }
      const checks = await looking
      const servers = Object.values(checks.servers)
      const ready = !isClosing && checks.catalog.status !== 'down' && servers.some(({ status }) => status !== 'down')
      return { live: !isClosed, ready, checks }
    },
    closing() {
      isClosing = true
    },
    closed() {
      isClosed = true
    },
  }
}

/** Limits the status of a part without which requests are only slower. */
function atMostDegraded(check: HealthCheck): HealthCheck {
  return check.status === 'down' ? { ...check, status: 'degraded' } : check
}

/** Checks of a process that is asked for the first time after it began to close. */
function unknown(): TenancyHealth['checks'] {
  const check: HealthCheck = { status: 'down', latencyMs: 0, detail: 'closing' }
  return { catalog: check, servers: { default: check }, stock: check, coherence: check }
}

/** Connects and closes again; rejects when nobody listens. */
function reach({ host, port }: ServerAddress, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port })
    const end = (error?: Error): void => {
      socket.destroy()
      if (error === undefined) resolve()
      else reject(error)
    }
    socket.setTimeout(timeoutMs, () => end(new Error('timeout')))
    socket.once('connect', () => end()).once('error', end)
  })
}
