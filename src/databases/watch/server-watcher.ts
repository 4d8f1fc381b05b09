import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { Logger } from '../../core/logger.js'
import { isShortage } from '../../postgres/outage.js'
import { createQueueMemory } from './queue-memory.js'
import { judgeLocks, judgeQueue, type ServerUse, type Verdict, type WatchLimits } from './verdict.js'
import { openWatchConnection, type WatchConnection } from './watch-connection.js'
import { publishSessionEnded } from './watch-events.js'

/** What a {@link ServerWatcher} needs. */
export interface ServerWatcherOptions {
  /** The provisioning account, in the catalog database. */
  readonly account: ServerAccount
  /** The tenant database that a login role belongs to; undefined: the role is none of a tenant's. */
  readonly databaseOf: (roleName: string) => string | undefined
  readonly tenantOf: (databaseId: string) => Promise<{ readonly id: string; readonly slug: string } | undefined>
  /** Processes that watch the same server: they share the looks. Default: 1. */
  readonly processes?: number
  /** Between two looks of all processes together, milliseconds. Default: 1000. */
  readonly intervalMs?: number
  /** Entries of the lock table that the sessions of one tenant may take. Default: a quarter of the table. */
  readonly maxTenantLocks?: number | undefined
  /**
   * Share of the NOTIFY queue, 0 to 1, from which on the session that it waits for is ended. Default: 0.5. PostgreSQL
   * names that session from 0.5 on: less is no earlier.
   */
  readonly maxQueueUsage?: number
  readonly logger: Logger
}

/** Watches what a server shares between its databases, and ends sessions of tenants that use it up. */
export interface ServerWatcher {
  start(): void
  /** Looks once, now. Resolves to what was ended. */
  look(): Promise<readonly Verdict[]>
  close(): Promise<void>
}

const defaultQueueUsage = 0.5
const longestBackoffMs = 30_000
// While somebody nears a limit.
const closeLookMs = 200
// While PostgreSQL is asked who holds the NOTIFY queue: whoever notifies first, once in five seconds, is told.
const askAgainMs = 50

/** A watcher of one server. Connects when it is started, and stays connected: a server that is full lets nobody in. */
export function createServerWatcher(options: ServerWatcherOptions): ServerWatcher {
  const { account, databaseOf, tenantOf, logger, processes = 1, intervalMs = 1000 } = options
  const { maxTenantLocks, maxQueueUsage = defaultQueueUsage } = options
  const closing = new AbortController()
  const roleNames = new Map<number, string>()
  const memory = createQueueMemory()
  let connection: WatchConnection | undefined
  let running: Promise<void> | undefined

  const limitsOf = ({ lockTable }: WatchConnection): WatchLimits => ({
    lockTable,
    locksPerRole: maxTenantLocks ?? Math.floor(lockTable / 4),
    queueUsage: maxQueueUsage,
  })

  /** Learns the names of roles that are new: known early, they are not asked for when the server is full. */
  async function learnRoles(watch: WatchConnection, { sessions }: ServerUse): Promise<void> {
    const connected = new Set(sessions.map(({ role }) => role))
    for (const role of roleNames.keys()) if (!connected.has(role)) roleNames.delete(role)
    const unknown = [...connected].filter((role) => !roleNames.has(role))
    if (unknown.length === 0) return
    for (const [role, name] of await watch.rolesNamed(unknown)) roleNames.set(role, name)
  }

  async function end(watch: WatchConnection, verdict: Verdict): Promise<boolean> {
    const roleName = roleNames.get(verdict.role) ?? ''
    const databaseId = databaseOf(roleName)
    if (databaseId === undefined || !(await watch.end(verdict.pid, roleName))) return false
    // The server has room again in a moment, and the next session is waited for.
    void report(verdict, databaseId)
    return true
  }

  async function report(verdict: Verdict, databaseId: string): Promise<void> {
    const { pid, resource, used, limit, isGuess } = verdict
    const tenant = await nameTenant(databaseId)
    const event = { databaseId, tenantId: tenant?.id, slug: tenant?.slug, pid, resource, used, limit, isGuess }
    logger.error(event, isGuess ? guessMessage : messages[resource])
    publishSessionEnded(event)
  }

  async function nameTenant(databaseId: string) {
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      try {
        return await tenantOf(databaseId)
      } catch {
        await sleep(200 * attempt, undefined, { ref: false })
      }
    }
    return undefined
  }

  /** What to know of the queue before somebody is ended for it. */
  async function learnQueue(watch: WatchConnection, use: ServerUse, limits: WatchLimits, sentAt: number) {
    // Whoever is named has to be so by this look, and not by one before.
    if (use.queueUsage >= Math.max(limits.queueUsage, defaultQueueUsage)) {
      const seenAt = performance.now()
      return memory.see(use.queueUsage, await watch.askForQueueHolder(), sentAt, seenAt)
    }
    memory.forget()
    return undefined
  }

  async function look(): Promise<{ ended: Verdict[]; pauseMs: number | undefined }> {
    connection ??= await openWatchConnection(account)
    const watch = connection
    try {
      const limits = limitsOf(watch)
      const sentAt = performance.now()
      const use = await watch.look()
      // A server that is full names no role that is new: those that are known may be what fills it.
      const unnamed = await learnRoles(watch, use).then(
        () => undefined,
        (error: unknown) => error,
      )
      const isTenant = (role: number) => databaseOf(roleNames.get(role) ?? '') !== undefined
      const ended: Verdict[] = []
      const endAll = async (verdicts: readonly Verdict[]) => {
        for (const verdict of verdicts) if (await end(watch, verdict)) ended.push(verdict)
      }
      // Locks first: to ask who holds the queue takes one.
      await endAll(judgeLocks(use, limits, isTenant))
      const queue = await learnQueue(watch, use, limits, sentAt)
      await endAll(judgeQueue({ ...use, queue }, limits, isTenant))
      const locks = use.sessions.reduce((sum, session) => sum + session.locks, 0)
      const isClose = ended.length > 0 || locks > limits.locksPerRole / 2 || use.queueUsage > limits.queueUsage / 2
      if (unnamed !== undefined) throw unnamed
      if (!isClose) await watch.keepReserve()
      // After a guess the server gets time to show whether it was right.
      if (ended.some(({ isGuess }) => isGuess)) return { ended, pauseMs: undefined }
      const isUnnamed = queue !== undefined && queue.holder === undefined
      return { ended, pauseMs: isUnnamed ? askAgainMs : isClose ? closeLookMs : undefined }
    } catch (error) {
      // Nobody gets a new connection from a server that is full: this one is kept.
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
        pauseMs = Math.min(pauseMs, (await look()).pauseMs ?? pauseMs)
        failures = 0
      } catch (error) {
        if (failures === 0 && !closing.signal.aborted) {
          logger.warn({ err: error }, 'What tenants use of the server is not watched; it is tried again')
        }
        failures += 1
        pauseMs = isShortage(error) ? Math.min(pauseMs, closeLookMs) : Math.min(pauseMs * failures, longestBackoffMs)
      }
      await sleep(pauseMs, undefined, { signal: closing.signal, ref: false }).catch(() => {})
    }
  }

  return {
    start: () => void (running ??= run()),
    look: async () => (await look()).ended,
    async close() {
      closing.abort()
      const last = connection
      // A server that does not answer is not waited for.
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
