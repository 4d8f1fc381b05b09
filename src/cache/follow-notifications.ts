import { randomUUID } from 'node:crypto'
import type { ChangeFeed } from './change-feed.js'

/** The part of a connected `pg.Client` that the LISTEN connection needs. */
export interface ListenClient {
  /** The server process, as the login said. */
  readonly processID?: number | null
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly unknown[] }>
  on(event: 'notification', listener: (message: { channel: string; payload?: string | undefined }) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  end(): Promise<void>
  /** Lets the process exit although the connection is open. */
  unref?(): void
}

/** A pooler stands between: the connection is not one session, and notifications get lost without a word. */
export class NoSessionError extends Error {
  override readonly name = 'NoSessionError'
}

/**
 * Serves one LISTEN connection until it is lost (then it rejects) or the feed is closed. A heartbeat travels through the
 * same channel: notifications arrive in the order of their commits, so once a heartbeat is back, everything committed
 * before it was sent has been heard (PostgreSQL manual, NOTIFY).
 *
 * @throws {@link NoSessionError}
 */
export async function followNotifications(client: ListenClient, channel: string, feed: ChangeFeed): Promise<void> {
  const { maxStalenessMs, signal } = feed
  const instance = randomUUID()
  const sentAtMs = new Map<string, number>()
  let beats = 0
  let isSending = false
  let timer: NodeJS.Timeout | undefined
  let stop: (() => void) | undefined

  async function send(payload: string): Promise<void> {
    const { rows } = await client.query('select pg_notify($1, $2), pg_backend_pid() as pid', [channel, payload])
    requireSession(client, rows)
  }

  try {
    await new Promise<void>((resolve, reject) => {
      client.on('error', reject)
      client.on('end', () => reject(new Error('The connection was closed')))
      stop = () => resolve()
      signal.addEventListener('abort', stop, { once: true })
      client.on('notification', ({ payload = '' }) => {
        const sent = sentAtMs.get(payload)
        if (sent === undefined) return feed.announce(payload)
        sentAtMs.delete(payload)
        feed.confirm(sent)
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
        send(payload)
          .finally(() => {
            isSending = false
          })
          .catch(reject)
      }
      const start = async () => {
        // Before LISTEN: on a pooler it would stay behind with a connection of the pooler's.
        requireSession(client, (await client.query('select pg_backend_pid() as pid')).rows)
        await client.query(`listen ${channel}`)
        if (signal.aborted) return
        feed.announceAll()
        beat()
        timer = setInterval(beat, maxStalenessMs / 4)
        timer.unref()
      }
      if (signal.aborted) resolve()
      else start().catch(reject)
    })
  } finally {
    clearInterval(timer)
    if (stop !== undefined) signal.removeEventListener('abort', stop)
    const ended = client.end().catch(() => {})
    // A dead connection may never answer; only an orderly end is worth a short wait.
    if (signal.aborted) await within(1000, ended)
    client.unref?.()
  }
}

/** A pooler logs its clients in under numbers of its own, and answers from whichever connection is free. */
function requireSession(client: ListenClient, rows: readonly unknown[]): void {
  const { processID } = client
  const { pid } = rows[0] as { pid: number }
  if (processID === undefined || processID === null || processID === pid) return
  throw new NoSessionError(`Logged in at process ${processID}, answered by process ${pid}`)
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}
