import type { Socket } from 'node:net'
import type { Client } from 'pg'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { openConnection, sqlStateOf } from '../server/admin-connection.js'
import { joinRole } from '../server/admin-rights.js'
import type { ServerUse, SessionUse } from './verdict.js'

/** A connection that is open before anything is wrong, and that looks at the server without taking a lock. */
export interface WatchConnection {
  /** Entries that the shared lock table has for certain (PostgreSQL manual, max_locks_per_transaction). */
  readonly lockTable: number
  /** What the server's shared resources are used for now. */
  look(): Promise<ServerUse>
  /** Names of roles by object id. */
  rolesNamed(roles: readonly number[]): Promise<Map<number, string>>
  /** Ends a session; false: it is gone already. @param roleName whose it is */
  end(pid: number, roleName: string): Promise<boolean>
  /**
   * Sends a notification to nobody: while the queue is more than half full, PostgreSQL says which session it waits for.
   * Undefined: it has told somebody else within the last five seconds, or nobody listens.
   */
  askForQueueHolder(): Promise<number | undefined>
  /** Takes back the lock entries that were given up in an emergency. */
  keepReserve(): Promise<void>
  close(): Promise<void>
  /** Breaks the connection off without a word to the server. */
  abandon(): void
}

/** An emergency needs a few entries in a lock table that is full: the connection holds some, and gives them up then. */
const reserveLocks = 64
const queryTimeoutMs = 10_000

// Functions and no views: those name shared catalogs, which take locks in the very table that may be full. Planned once, the
// statement takes none at all. What serializable transactions have read is kept in another table, with bounds of its own.
const lookQuery = `
  select usage as "queueUsage", a.pid, a.usesysid::bigint as role,
    (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::float8 as "transactionMs",
    (extract(epoch from clock_timestamp() - a.state_change) * 1000)::float8 as "stateMs", coalesce(l.locks, 0)::int as locks
  from pg_notification_queue_usage() as usage
    left join pg_stat_get_activity(null) as a on a.usesysid is not null and a.pid <> pg_backend_pid()
    left join (select pid, count(*) as locks from pg_lock_status() where not fastpath and mode <> 'SIReadLock' group by pid) as l on l.pid = a.pid`

interface LookRow extends Omit<SessionUse, 'role' | 'pid'> {
  /** null: nobody is connected. */
  readonly pid: number | null
  readonly role: string
  readonly queueUsage: number
}

/** Opens the connection, and does everything once that it will do: later, its caches know what they need. */
export async function openWatchConnection(account: ServerAccount): Promise<WatchConnection> {
  const client = await openConnection(account, queryTimeoutMs)
  try {
    return await prepare(client)
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
}

async function prepare(client: Client): Promise<WatchConnection> {
  let queueHolder: number | undefined
  client.on('notice', ({ code, detail }) => {
    // "The server process with PID 123 is among those with the oldest transactions", in whatever language.
    if (code === '01000' && detail !== undefined) queueHolder = Number(/\d+/.exec(detail)?.[0]) || undefined
  })
  const { rows } = await client.query<{ lockTable: number }>(
    `select current_setting('max_locks_per_transaction')::int
       * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) as "lockTable"`,
  )
  const lockTable = rows[0]?.lockTable ?? 0

  let hasReserve = false
  const takeReserve = async () => {
    await client.query(
      "select pg_try_advisory_lock(hashtext('tenants2fast reserve'), pg_backend_pid() + n) from generate_series(1, $1) as n",
      [Math.min(reserveLocks, Math.floor(lockTable / 50))],
    )
    hasReserve = true
  }
  /** Runs a query; when the lock table is full, once more with the entries that this connection gives up. */
  const withReserve = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work()
    } catch (error) {
      if (sqlStateOf(error) !== '53200') throw error
      hasReserve = false
      await client.query('select pg_advisory_unlock_all()')
      return work()
    }
  }

  await takeReserve()
  socketOf(client)?.unref()
  return {
    lockTable,
    async look() {
      const looked = await client.query<LookRow>({ name: 'tenants2fast_look', text: lookQuery })
      const sessions = looked.rows.flatMap(({ pid, role, locks, transactionMs, stateMs }) =>
        pid === null ? [] : [{ pid, role: Number(role), locks, transactionMs, stateMs }],
      )
      return { sessions, queueUsage: looked.rows[0]?.queueUsage ?? 0 }
    },
    rolesNamed: (roles) =>
      withReserve(async () => {
        const named = await client.query<{ role: string; name: string }>({
          name: 'tenants2fast_roles',
          text: 'select oid::bigint as role, pg_get_userbyid(oid) as name from unnest($1::oid[]) as oid',
          values: [roles],
        })
        return new Map(named.rows.map(({ role, name }) => [Number(role), name]))
      }),
    end: (pid, roleName) =>
      withReserve(async () => {
        const ended = await terminate(client, pid).catch(async (error: unknown) => {
          // On PostgreSQL 15 a role can end the memberships in itself.
          if (sqlStateOf(error) !== '42501') throw error
          await joinRole(client, roleName)
          return terminate(client, pid)
        })
        return ended.rows[0]?.isEnded === true
      }),
    async askForQueueHolder() {
      queueHolder = undefined
      await client.query("select pg_notify('tenants2fast_watch', '')").catch((error: unknown) => {
        // Full: the warning has come before the error.
        if (sqlStateOf(error) !== '54000') throw error
      })
      return queueHolder
    },
    async keepReserve() {
      if (hasReserve) return
      await takeReserve()
    },
    close: () => client.end(),
    abandon: () => socketOf(client)?.destroy(),
  }
}

function terminate(client: Client, pid: number) {
  return client.query<{ isEnded: boolean }>({
    name: 'tenants2fast_end',
    text: 'select pg_terminate_backend($1) as "isEnded"',
    values: [pid],
  })
}

/** The types of `pg` leave the socket out. */
function socketOf(client: Client): Socket | undefined {
  return (client as unknown as { connection?: { stream?: Socket } }).connection?.stream
}
