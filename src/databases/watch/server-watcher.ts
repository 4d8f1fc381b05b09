import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { Logger } from '../../core/logger.js'
import { isShortage } from '../../postgres/outages/outage.js'
import { findLockOffenders, findQueueOffenders, type Offender, type ServerUse, type WatchLimits } from './offenders.js'
import { createQueueHistory } from './queue-history.js'
import { openWatchConnection, type WatchConnection } from './watch-connection.js'
import { publishSessionEnded } from './watch-events.js'

/** What a {@link ServerWatcher} needs. */
export interface ServerWatcherOptions {
  /** The provisioning account, in the catalog database. */
  readonly account: ServerAccount
  /** Id of the tenant database that a login role belongs to; undefined: the role is not a tenant's. */
  readonly databaseOf: (roleName: string) => string | undefined
  readonly tenantOf: (databaseId: string) => Promise<{ readonly id: string; readonly slug: string } | undefined>
  /** Processes that watch the same server: each does its share of the checks. Default: 1. */
  readonly processes?: number
  /** Time between two checks of all processes together, milliseconds. Default: 1000. */
  readonly intervalMs?: number
  /** Entries of the lock table that the sessions of one tenant together may take. Default: a quarter of the table. */
  readonly maxTenantLocks?: number | undefined
  /**
   * Share of the NOTIFY queue, 0 to 1, from which on the session that it waits for is ended. Default: 0.5. A lower value
   * has no earlier effect, because PostgreSQL names that session from 0.5 on.
   */
  readonly maxQueueUsage?: number
  readonly logger: Logger
}

/** Watches the resources that a server shares between its databases, and ends sessions of tenants that use them up. */
export interface ServerWatcher {
  /** Checks now and at intervals, until `close`. */
  start(): void
  /** Checks once, now. Resolves to the sessions that were ended. */
  check(): Promise<readonly Offender[]>
  close(): Promise<void>
}

const defaultQueueUsage = 0.5
const maxBackoffMs = 30_000
/** Pause while a limit is near. */
const nearLimitPauseMs = 200
/** Pause while PostgreSQL is asked which session holds the NOTIFY queue: it tells the first that notifies, every 5 s. */
const holderPauseMs = 50

/** A watcher of one server. Connects when it is started, and stays connected: a full server takes no new connection. */
export function createServerWatcher(options: ServerWatcherOptions): ServerWatcher {
  const { account, databaseOf, tenantOf, logger, processes = 1, intervalMs = 1000 } = options
  const { maxTenantLocks, maxQueueUsage = defaultQueueUsage } = options
  const closing = new AbortController()
  const roleNames = new Map<number, string>()
  const history = createQueueHistory()
  let connection: WatchConnection | undefined
  let running: Promise<void> | undefined

  const limitsOf = ({ lockTable }: WatchConnection): WatchLimits => ({
    lockTable,
    locksPerRole: maxTenantLocks ?? Math.floor(lockTable / 4),
    queueUsage: maxQueueUsage,
  })

  /** Reads the names of new roles early: a full server may not be able to tell them. */
  async function readNewRoles(watch: WatchConnection, { sessions }: ServerUse): Promise<void> {
    const connected = new Set(sessions.map(({ role }) => role))
    for (const role of roleNames.keys()) if (!connected.has(role)) roleNames.delete(role)
    const unknown = [...connected].filter((role) => !roleNames.has(role))
    if (unknown.length === 0) return
    for (const [role, name] of await watch.rolesNamed(unknown)) roleNames.set(role, name)
  }

  async function end(watch: WatchConnection, offender: Offender): Promise<boolean> {
    const roleName = roleNames.get(offender.role) ?? ''
    const databaseId = databaseOf(roleName)
    if (databaseId === undefined || !(await watch.end(offender.pid, roleName))) return false
    // Not awaited: the next session has to be ended now, and the report may wait for the catalog.
    void report(offender, databaseId)
    return true
  }

  async function report(offender: Offender, databaseId: string): Promise<void> {
    const { pid, resource, used, limit, isGuess } = offender
    const tenant = await findTenant(databaseId)
    const event = { databaseId, tenantId: tenant?.id, slug: tenant?.slug, pid, resource, used, limit, isGuess }
    logger.error(event, isGuess ? guessMessage : messages[resource])
    publishSessionEnded(event)
  }

  async function findTenant(databaseId: string) {
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      try {
        return await tenantOf(databaseId)
      } catch {
        await sleep(200 * attempt, undefined, { ref: false })
      }
    }
    return undefined
  }

  /** Reads what has to be known of the queue before a session is ended for it. */
  async function readQueueFacts(watch: WatchConnection, use: ServerUse, limits: WatchLimits, sentAt: number) {
    // The name has to come from this check, not from an earlier one.
    if (use.queueUsage >= Math.max(limits.queueUsage, defaultQueueUsage)) {
      const seenAt = performance.now()
      return history.record(use.queueUsage, await watch.askForQueueHolder(), sentAt, seenAt)
    }
    history.clear()
    return undefined
  }

  async function check(): Promise<{ ended: Offender[]; pauseMs: number | undefined }> {
    connection ??= await openWatchConnection(account)
    const watch = connection
    try {
      const limits = limitsOf(watch)
      const sentAt = performance.now()
      const use = await watch.readUse()
      // A full server may fail to name new roles. The known ones are checked all the same: they may be what fills it.
      const rolesError = await readNewRoles(watch, use).then(
        () => undefined,
        (error: unknown) => error,
      )
      const isTenant = (role: number) => databaseOf(roleNames.get(role) ?? '') !== undefined
      const ended: Offender[] = []
      const endAll = async (offenders: readonly Offender[]) => {
        for (const offender of offenders) if (await end(watch, offender)) ended.push(offender)
      }
      // Locks first: to ask which session holds the queue takes a lock.
      await endAll(findLockOffenders(use, limits, isTenant))
      const queue = await readQueueFacts(watch, use, limits, sentAt)
      await endAll(findQueueOffenders({ ...use, queue }, limits, isTenant))
      const locks = use.sessions.reduce((sum, session) => sum + session.locks, 0)
      const isNearLimit = ended.length > 0 || locks > limits.locksPerRole / 2 || use.queueUsage > limits.queueUsage / 2
      if (rolesError !== undefined) throw rolesError
      if (!isNearLimit) await watch.keepReserve()
      // After a guess, the next check comes at the usual interval: the server needs time to show whether it was right.
      if (ended.some(({ isGuess }) => isGuess)) return { ended, pauseMs: undefined }
      const isUnnamed = queue !== undefined && queue.holder === undefined
      return { ended, pauseMs: isUnnamed ? holderPauseMs : isNearLimit ? nearLimitPauseMs : undefined }
    } catch (error) {
      // A full server gives no new connection: this one is kept.
      if (!isShortage(error)) {
        connection = undefined
        watch.abandon()
      }
      throw error
    }
  }

  async function run(): Promise<void> {
    let failures = 0
    while (!closing.signal.aborted) {
      let pauseMs = intervalMs * processes * (0.8 + Math.random() * 0.4)
      try {
        pauseMs = Math.min(pauseMs, (await check()).pauseMs ?? pauseMs)
        failures = 0
      } catch (error) {
        if (failures === 0 && !closing.signal.aborted) {
          logger.warn(
            { err: error },
            'The use of shared resources by tenants could not be checked; the next check follows',
          )
        }
        failures += 1
        pauseMs = isShortage(error) ? Math.min(pauseMs, nearLimitPauseMs) : Math.min(pauseMs * failures, maxBackoffMs)
      }
      await sleep(pauseMs, undefined, { signal: closing.signal, ref: false }).catch(() => {})
    }
  }

  return {
    start: () => void (running ??= run()),
    check: async () => (await check()).ended,
    async close() {
      closing.abort()
      const last = connection
      // One second at most: the server may not answer.
      await Promise.race([Promise.all([running, last?.close()]), sleep(1000, undefined, { ref: false })])
      connection?.abandon()
    },
  }
}

const messages = {
  locks: 'A session of a tenant was ended: the tenant filled the lock table that all databases share',
  'notify-queue':
    'A session of a tenant was ended: it kept the NOTIFY queue that all databases share from being emptied',
} as const
const guessMessage =
  'A session of a tenant was ended on a guess: the NOTIFY queue that all databases share is full, and PostgreSQL did not name the session that it waits for'
