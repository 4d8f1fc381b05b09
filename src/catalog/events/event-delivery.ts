import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../core/logger.js'
import type { TenancyEvent, TenancyEventType } from './event.js'
import type { EventStore, PendingEntry } from './event-store.js'

/** What {@link startDelivery} needs. */
export interface DeliveryOptions {
  readonly store: EventStore
  readonly name: string
  readonly isWanted: (type: TenancyEventType) => boolean
  readonly handle: (event: TenancyEvent) => unknown
  readonly logger: Logger
  readonly leaseMs: number
  readonly idleMs: number
}

/** What a delivery has done so far. */
export interface DeliveryState {
  isActive: boolean
  handled: number
  failed: number
  lastError: unknown
}

/** A chain whose next event has failed. */
interface Retry {
  readonly failures: number
  /** `performance.now()`. */
  readonly dueMs: number
}

const firstPauseMs = 1000
const longestPauseMs = 60_000

const pauseAfter = (failures: number) => Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs)

/** Delivers the events of one subscription while this process has its lease, until it is stopped. */
export function startDelivery(options: DeliveryOptions): {
  readonly state: Readonly<DeliveryState>
  readonly stop: () => Promise<void>
} {
  const { store, name, isWanted, handle, logger, leaseMs, idleMs } = options
  const holder = randomUUID()
  const stopping = new AbortController()
  const state: DeliveryState = { isActive: false, handled: 0, failed: 0, lastError: undefined }
  const retries = new Map<string, Retry>()
  /** How long the last look for events took. */
  let readMs = 0

  async function hold(): Promise<void> {
    state.isActive = await store.hold(name, holder, leaseMs)
  }

  /** Handles entries of one chain in their order. Returns the place of the last one that is done; undefined: none is. */
  async function deliver(entries: readonly PendingEntry[]): Promise<number | undefined> {
    let done: number | undefined
    for (const { event, chainId, seq } of entries) {
      if (stopping.signal.aborted || !state.isActive) break
      if (event !== undefined && isWanted(event.type)) {
        try {
          await handle(event)
          state.handled += 1
          if (retries.delete(chainId)) state.lastError = undefined
        } catch (error) {
          const failures = (retries.get(chainId)?.failures ?? 0) + 1
          retries.set(chainId, { failures, dueMs: performance.now() + pauseAfter(failures) })
          state.failed += 1
          state.lastError = error
          logger.error(
            { err: error, subscription: name, event: event.id, failures },
            'The handler of an event failed; tried again later',
          )
          break
        }
      }
      done = seq
    }
    return done
  }

  /** Delivers one batch. False: there was nothing to do. */
  async function pass(): Promise<boolean> {
    const now = performance.now()
    const waiting = [...retries].filter(([, { dueMs }]) => dueMs > now)
    const entries = await store.read(
      name,
      waiting.map(([chainId]) => chainId),
    )
    readMs = performance.now() - now
    const chains = new Map<string, PendingEntry[]>()
    for (const entry of entries) {
      const ofChain = chains.get(entry.chainId)
      if (ofChain === undefined) chains.set(entry.chainId, [entry])
      else ofChain.push(entry)
    }
    const reached = new Map<string, number>()
    for (const [chainId, ofChain] of chains) {
      if (stopping.signal.aborted || !state.isActive) break
      const done = await deliver(ofChain)
      if (done !== undefined) reached.set(chainId, done)
    }
    if (reached.size > 0) state.isActive = await store.advance(name, holder, reached)
    return reached.size > 0
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await hold()
        // A handler may take longer than the lease.
        const renewal = setInterval(() => void hold().catch(() => {}), leaseMs / 3)
        try {
          while (state.isActive && !stopping.signal.aborted && (await pass()));
        } finally {
          clearInterval(renewal)
        }
      } catch (error) {
        logger.warn({ err: error, subscription: name }, 'Events cannot be read from the catalog; tried again later')
      }
      // Where the catalog is so large that a look takes long, it looks less often.
      const pauseMs = Math.max(idleMs, Math.min(10 * readMs, leaseMs / 3))
      await sleep(pauseMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {})
    }
    state.isActive = false
    await store.release(name, holder).catch(() => {})
  }

  const running = run()
  return {
    state,
    async stop() {
      stopping.abort()
      await running
    },
  }
}
