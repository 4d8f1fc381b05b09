import { setTimeout as sleep } from 'node:timers/promises'
import type { ChangeLog } from '../core/change-log.js'
import type { Logger } from '../core/logger.js'
import type { ChangeFeed } from './change-feed.js'
import { followChanges } from './follow-changes.js'
import { followNotifications, type ListenClient, NoSessionError } from './follow-notifications.js'

/** A change of one user's place in one tenant, and of nothing else about the user. */
export interface MembershipChange {
  readonly tenantId: string
  /** The user is no active member of the tenant any more. */
  readonly hasEnded: boolean
}

/** Who wants to know that something in the catalog changed. */
export interface CoherenceListener {
  /** `membership`: what changed, if it is that alone. */
  user?(id: string, epoch: number, membership?: MembershipChange): void
  tenant?(id: string, epoch: number): void
  rules?(epoch: number): void
  /** The keys that sign our tokens. */
  keys?(): void
  /** Anything may have changed: nobody listened for a while. */
  all?(): void
}

/** What {@link createCoherence} needs. */
export interface CoherenceOptions {
  /** Opens a connection to the catalog that serves nothing else. */
  readonly connect: () => Promise<ListenClient>
  /** Where the same changes are read when they can't be listened to. */
  readonly changes: ChangeLog
  /** `poll`: read the log of changes and never listen. Default: `listen`, and `poll` where a pooler makes that impossible. */
  readonly changesBy?: 'listen' | 'poll'
  /** The longest time that something remembered may be out of date. 0: strict, nothing is followed. */
  readonly maxStalenessMs: number
  readonly logger: Logger
  /** Default: `tenants2fast_epochs`, which the catalog's triggers use. */
  readonly channel?: string
}

/** Knows up to which moment this process has heard of every change in the catalog. */
export interface Coherence {
  readonly maxStalenessMs: number
  /** Every change that was committed before this moment (`performance.now()`) has been announced here. */
  readonly confirmedAtMs: number
  /** How changes are heard of at this moment. */
  readonly changesBy: 'listen' | 'poll'
  /** Adds a listener; the function that is returned removes it. */
  subscribe(listener: CoherenceListener): () => void
  /** Ends the connection and stops reconnecting. */
  close(): Promise<void>
}

const longestBackoffMs = 5000
const changePattern = /^(?:([ut]):([0-9a-f-]{36})|([rk])):(\d+)(?::([0-9a-f-]{36})(:ended)?)?$/

/**
 * Follows the catalog's epochs by LISTEN, or by reading the log of changes four times in `maxStalenessMs`. What was lost
 * is taken up anew: tell the listeners to doubt everything, then confirm.
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
    announce(change) {
      const match = changePattern.exec(change)
      if (match === null) return
      const [, kind, id = '', other, epochText, tenantId, ended] = match
      const epoch = Number(epochText)
      const membership = tenantId === undefined ? undefined : { tenantId, hasEnded: ended !== undefined }
      for (const listener of listeners) {
        if (kind === 'u') listener.user?.(id, epoch, membership)
        else if (kind === 't') listener.tenant?.(id, epoch)
        else if (other === 'r') listener.rules?.(epoch)
        else listener.keys?.()
      }
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
            'A pooler stands before the catalog: changes are read from its log instead of being listened to',
          )
          continue
        }
        logger.warn({ err: error }, 'Changes in the catalog are not heard of; remembered entries are checked by query')
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

/** Connects, unless the signal comes first: then the connection is ended when it is there, and nobody waits for it. */
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
