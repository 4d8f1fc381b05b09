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

/** The connection goes through a pooler: it is not one session, and notifications get lost silently. */
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
  // Notifications may arrive before the answer to the query that sent them.
  const answered = new Set<string>()
  let snapshot: string | undefined
  let wasQueueFull = false
  let beats = 0
  let isSending = false
  let timer: NodeJS.Timeout | undefined
  let stop: (() => void) | undefined

  async function send(payload: string, nowMs: number): Promise<void> {
    const { rows } = await client.query(heartbeatQuery, [channel, payload, snapshot ?? null, wasQueueFull])
    requireSession(client, rows)
    const answer = rows[0] as Heartbeat
    if (snapshot === undefined) feed.announceAll()
    for (const message of answer.changes) feed.announce(message)
    const isFirst = snapshot === undefined
    snapshot = answer.snapshot
    wasQueueFull = false
    if (!answer.hasRoom) {
      // Nothing was sent: what was committed before has been read instead.
      sentAtMs.delete(payload)
      if (!isFirst) feed.confirm(nowMs)
      // A listener that is not woken keeps the queue full itself, and only a notification would wake it. Listening anew
      // takes it to the end of the queue; the next heartbeat reads what it missed meanwhile.
      wasQueueFull = true
      await client.query(`unlisten ${channel}`)
      await client.query(`listen ${channel}`)
    } else if (!sentAtMs.has(payload)) feed.confirm(nowMs)
    else answered.add(payload)
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
        if (answered.delete(payload)) feed.confirm(sent)
      })
      const beat = () => {
        const nowMs = performance.now()
        const oldest = sentAtMs.values().next().value
        // A silently dead connection (no reset arrives) shows itself by heartbeats that don't return.
        if (oldest !== undefined && nowMs - oldest > Math.max(2 * maxStalenessMs, 1000)) {
          return reject(new Error('No heartbeat came back'))
        }
        if (isSending) return
        const payload = `h:${instance}:${(beats += 1)}`
        sentAtMs.set(payload, nowMs)
        isSending = true
        send(payload, nowMs)
          .finally(() => {
            isSending = false
          })
          .catch(reject)
      }
      const start = async () => {
        // Before LISTEN, which would stay behind on one of a pooler's connections.
        requireSession(client, (await client.query('select pg_backend_pid() as pid')).rows)
        await client.query(`listen ${channel}`)
        if (signal.aborted) return
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
    // A dead connection may never answer; only an orderly end is worth waiting for, and briefly.
    if (signal.aborted) await within(1000, ended)
    client.unref?.()
  }
}

/** The answer to a heartbeat. */
interface Heartbeat {
  readonly pid: number
  /** Whether the server's NOTIFY queue had room, and the heartbeat was sent. */
  readonly hasRoom: boolean
  readonly snapshot: string
  /** Changes since the last heartbeat that were not announced by NOTIFY; all of them if there was no room, then or now. */
  readonly changes: readonly string[]
}

// All databases of the server share the queue, and a tenant can fill it. While it is more than half full, neither the
// triggers nor this file put anything into it. Unannounced changes are in the table; `change-log.ts` says how it is read.
const changesWhere = (condition: string) => `
  select change from access_changes
   where transaction_id >= pg_snapshot_xmin($3::pg_snapshot)
     and not pg_visible_in_snapshot(transaction_id, $3::pg_snapshot) ${condition}
   order by id`
const heartbeatQuery = `
  with queue as materialized (select pg_notification_queue_usage() < 0.5 as "hasRoom")
  select pg_backend_pid() as pid, "hasRoom", pg_current_snapshot()::text as snapshot,
    case when "hasRoom" then pg_notify($1, $2) end,
    case when "hasRoom" and not $4::boolean then array(${changesWhere('and not was_notified')}) else array(${changesWhere('')}) end as changes
  from queue`

/** A pooler gives its clients process numbers of its own, and answers from whichever connection is free. */
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
