import { setTimeout as sleep } from 'node:timers/promises'
import type { ChangeLog } from '../../core/change-log.js'
import type { Logger } from '../../core/logger.js'
import type { ChangeFeed } from './change-feed.js'
import { type Change, type MembershipChange, parseChange } from './change-message.js'
import { followChanges } from './follow-changes.js'
import { followNotifications, type ListenClient, NoSessionError } from './follow-notifications.js'

/** Listens to changes in the catalog. */
export interface CoherenceListener {
  /** `membership`: what changed, if it is that alone. */
  user?(id: string, epoch: number, membership?: MembershipChange): void
  /** The change of that epoch left the user no role and no override in the tenant. */
  emptied?(userId: string, epoch: number, tenantId: string): void
  tenant?(id: string, epoch: number): void
  rules?(epoch: number): void
  /** A migration of a tenant database begins. */
  migration?(id: string): void
  /** A tenant database has another schema version. */
  database?(id: string, schemaVersion: number): void
  /** A host has begun or ceased to name a tenant. */
  host?(name: string): void
  /** The keys that sign our tokens. */
  keys?(): void
  /** Anything may have changed: changes were not followed for a while. */
  all?(): void
}

/** Options of {@link createCoherence}. */
export interface CoherenceOptions {
  /** Opens a connection to the catalog that serves nothing else. */
  readonly connect: () => Promise<ListenClient>
  /** The log where the same changes are read when LISTEN is not possible. */
  readonly changes: ChangeLog
  /** `poll`: read the log of changes and never listen. Default: `listen`, and `poll` where a pooler makes that impossible. */
  readonly changesBy?: 'listen' | 'poll'
  /** Longest time that a cached entry may be out of date, milliseconds. 0: strict, no changes are followed. */
  readonly maxStalenessMs: number
  readonly logger: Logger
  /** Default: `tenants2fast_epochs`, which the catalog's triggers use. */
  readonly channel?: string
}

/** Follows the catalog's changes, and knows up to which moment this process has heard of all of them. */
export interface Coherence {
  readonly maxStalenessMs: number
  /** Every change that was committed before this moment (`performance.now()`) has been announced here. */
  readonly confirmedAtMs: number
  /** How changes are followed at this moment. */
  readonly changesBy: 'listen' | 'poll'
  /** Adds a listener; the function that is returned removes it. */
  subscribe(listener: CoherenceListener): () => void
  /** Closes the connection and stops reconnecting. */
  close(): Promise<void>
}

const longestBackoffMs = 5000

/**
 * Follows the catalog's changes by LISTEN, or by reading their log four times in `maxStalenessMs`. After an interruption,
 * listeners are told first that anything may have changed; only then are moments confirmed again.
 */
export function createCoherence(options: CoherenceOptions): Coherence {
  const { connect, changes, maxStalenessMs, logger, channel = 'tenants2fast_epochs' } = options
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(channel)) throw new RangeError(`Not a channel name: ${channel}`)
  let { changesBy = 'listen' } = options
  const listeners = new Set<CoherenceListener>()
  const stop = new AbortController()
  let confirmedAtMs = Number.NEGATIVE_INFINITY

  const feed: ChangeFeed = {
    maxStalenessMs,
    signal: stop.signal,
    announce(message) {
      const change = parseChange(message)
      if (change === undefined) return
      for (const listener of listeners) tell(listener, change)
    },
    announceAll() {
      for (const listener of listeners) listener.all?.()
    },
    confirm(momentMs) {
      confirmedAtMs = Math.max(confirmedAtMs, momentMs)
    },
  }

  async function follow(): Promise<void> {
    if (changesBy === 'poll') return followChanges(changes, feed)
    const client = await connectUntil(stop.signal, connect)
    if (client !== undefined) await followNotifications(client, channel, feed)
  }

  async function run(): Promise<void> {
    let backoffMs = 50
    while (!stop.signal.aborted) {
      const startedAtMs = performance.now()
      try {
        await follow()
      } catch (error) {
        if (error instanceof NoSessionError) {
          changesBy = 'poll'
          logger.warn(
            { err: error },
            'The catalog is behind a pooler, where LISTEN does not work: its table of changes is polled',
          )
          continue
        }
        logger.warn(
          { err: error },
          'Lost the connection that reports changes of the catalog; cached entries are confirmed by query',
        )
      }
      if (performance.now() - startedAtMs > longestBackoffMs) backoffMs = 50
      await sleep(backoffMs * (0.5 + Math.random()), undefined, { signal: stop.signal }).catch(() => {})
      backoffMs = Math.min(2 * backoffMs, longestBackoffMs)
    }
  }

  const running = maxStalenessMs > 0 ? run() : Promise.resolve()
  return {
    maxStalenessMs,
    get confirmedAtMs() {
      return confirmedAtMs
    },
    get changesBy() {
      return changesBy
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close() {
      stop.abort()
      await running
    },
  }
}

function tell(listener: CoherenceListener, change: Change): void {
  switch (change.kind) {
    case 'user':
      return listener.user?.(change.id, change.epoch, change.membership)
    case 'emptied':
      return listener.emptied?.(change.id, change.epoch, change.tenantId)
    case 'tenant':
      return listener.tenant?.(change.id, change.epoch)
    case 'database':
      return listener.database?.(change.id, change.schemaVersion)
    case 'migration':
      return listener.migration?.(change.id)
    case 'rules':
      return listener.rules?.(change.epoch)
    case 'host':
      return listener.host?.(change.name)
    case 'keys':
      return listener.keys?.()
  }
}

/** Connects, unless the signal comes first: then the connection is ended once it is open, and nobody waits for it. */
async function connectUntil(
  signal: AbortSignal,
  connect: () => Promise<ListenClient>,
): Promise<ListenClient | undefined> {
  if (signal.aborted) return undefined
  const connecting = connect()
  const client = await new Promise<ListenClient | undefined>((resolve, reject) => {
    const stop = () => resolve(undefined)
    signal.addEventListener('abort', stop, { once: true })
    connecting.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
  if (client === undefined) {
    connecting.then(
      (late) => {
        late.end().catch(() => {})
        late.unref?.()
      },
      () => {},
    )
  }
  return client
}
