import { randomUUID } from 'node:crypto'
import type { Logger } from '../core/logger.js'

/** The part of a connected `pg.Client` that the LISTEN connection needs. */
export interface ListenClient {
  query(text: string, values?: unknown[]): Promise<unknown>
  on(event: 'notification', listener: (message: { channel: string; payload?: string | undefined }) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  end(): Promise<void>
  /** Lets the process exit although the connection is open. */
  unref?(): void
}

/** Who wants to know that something in the catalog changed. */
export interface CoherenceListener {
  user?(id: string, epoch: number): void
  tenant?(id: string, epoch: number): void
  rules?(epoch: number): void
  /** Anything may have changed: the connection was away. */
  all?(): void
}

/** What {@link createCoherence} needs. */
export interface CoherenceOptions {
  /** Opens a connection to the catalog that serves nothing else. */
  readonly connect: () => Promise<ListenClient>
  /** The longest time that something remembered may be out of date. 0: strict, no connection is made. */
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
  /** Adds a listener; the function that is returned removes it. */
  subscribe(listener: CoherenceListener): () => void
  /** Ends the connection and stops reconnecting. */
  close(): Promise<void>
}

const longestBackoffMs = 5000
const changePattern = /^(?:([ut]):([0-9a-f-]{36})|r):(\d+)$/

/**
 * Follows the catalog's epochs by LISTEN. A heartbeat travels through the same channel: notifications arrive in
 * the order of their commits, so once a heartbeat is back, everything committed before it was sent has been heard
 * (PostgreSQL manual, NOTIFY). A lost connection is made anew: listen, tell the listeners to drop everything,
 * then confirm.
 */
export function createCoherence(options: CoherenceOptions): Coherence {
  const { connect, maxStalenessMs, logger, channel = 'tenants2fast_epochs' } = options
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(channel)) throw new RangeError(`Not a channel name: ${channel}`)
  const beatEveryMs = maxStalenessMs / 4
  const instance = randomUUID()
  const listeners = new Set<CoherenceListener>()
  const stop = new AbortController()
  /** Ends what `run` is waiting for. */
  let wake: (() => void) | undefined
  let confirmedAtMs = Number.NEGATIVE_INFINITY

  function announce(payload: string): void {
    const match = changePattern.exec(payload)
    if (match === null) return
    const [, kind, id = '', epochText] = match
    const epoch = Number(epochText)
    for (const listener of listeners) {
      if (kind === 'u') listener.user?.(id, epoch)
      else if (kind === 't') listener.tenant?.(id, epoch)
      else listener.rules?.(epoch)
    }
  }

  /** Serves one connection until it is lost. */
  async function follow(client: ListenClient): Promise<void> {
    const sentAtMs = new Map<string, number>()
    let beats = 0
    let isSending = false
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        client.on('error', reject)
        client.on('end', () => reject(new Error('The connection was closed')))
        wake = resolve
        client.on('notification', ({ payload = '' }) => {
          const sent = sentAtMs.get(payload)
          if (sent === undefined) return announce(payload)
          sentAtMs.delete(payload)
          confirmedAtMs = Math.max(confirmedAtMs, sent)
        })
        const beat = () => {
          const nowMs = performance.now()
          const oldest = sentAtMs.values().next().value
          // A connection that is silently dead (no reset arrives) shows itself by heartbeats that don't return.
          if (oldest !== undefined && nowMs - oldest > Math.max(2 * maxStalenessMs, 1000)) {
            return reject(new Error('No heartbeat came back'))
          }
          if (isSending) return
          const payload = `h:${instance}:${(beats += 1)}`
          sentAtMs.set(payload, nowMs)
          isSending = true
          client
            .query('select pg_notify($1, $2)', [channel, payload])
            .finally(() => {
              isSending = false
            })
            .catch(reject)
        }
        const start = async () => {
          await client.query(`listen ${channel}`)
          if (stop.signal.aborted) return
          for (const listener of listeners) listener.all?.()
          beat()
          timer = setInterval(beat, beatEveryMs)
          timer.unref()
        }
        if (stop.signal.aborted) resolve()
        else start().catch(reject)
      })
    } finally {
      clearInterval(timer)
      const ended = client.end().catch(() => {})
      // A dead connection may never answer; only an orderly end is worth a short wait.
      if (stop.signal.aborted) await Promise.race([ended, pause(1000)])
      client.unref?.()
    }
  }

  async function run(): Promise<void> {
    let backoffMs = 50
    while (!stop.signal.aborted) {
      const startedAtMs = performance.now()
      try {
        const client = await connect()
        await follow(client)
      } catch (error) {
        logger.warn({ err: error }, 'The catalog’s LISTEN connection was lost; remembered entries are checked by query')
      }
      if (performance.now() - startedAtMs > longestBackoffMs) backoffMs = 50
      if (!stop.signal.aborted) await pause(backoffMs * (0.5 + Math.random()))
      backoffMs = Math.min(2 * backoffMs, longestBackoffMs)
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  const running = maxStalenessMs > 0 ? run() : Promise.resolve()
  return {
    maxStalenessMs,
    get confirmedAtMs() {
      return confirmedAtMs
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close() {
      stop.abort()
      wake?.()
      await running
    },
  }
}
