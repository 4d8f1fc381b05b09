import type { Socket } from 'node:net'
import type { Client } from 'pg'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { openConnection } from '../server/admin-connection.js'
import { joinRole } from '../server/admin-rights.js'
import type { ServerUse, SessionUse } from './offenders.js'

/** A connection that is opened in good time, and that reads the use of shared resources without taking a lock. */
export interface WatchConnection {
  /** Guaranteed size of the shared lock table, in entries (PostgreSQL manual, max_locks_per_transaction). */
  readonly lockTable: number
  /** Reads the use of the server's shared resources now. */
  readUse(): Promise<ServerUse>
  /** Reads the names of roles, by object id. */
  rolesNamed(roles: readonly number[]): Promise<Map<number, string>>
  /**
   * Ends a session; false: it has ended already.
   * @param roleName the session's role
   */
  end(pid: number, roleName: string): Promise<boolean>
  /**
   * Sends a notification on a channel without listeners: while the queue is more than half full, PostgreSQL answers with
   * the session that the queue waits for. Undefined: it has told another session within the last five seconds, or no
   * session listens.
   */
  askForQueueHolder(): Promise<number | undefined>
  /** Takes the reserve of lock entries again if it was given up. */
  keepReserve(): Promise<void>
  close(): Promise<void>
  /** Destroys the socket without waiting for the server. */
  abandon(): void
}

/** Lock entries that the connection holds in reserve: ending a session takes a few, and the lock table may be full then. */
const reserveLocks = 64
const queryTimeoutMs = 10_000

// Functions instead of views: the views read shared catalogs, which takes locks in the table that may be full. Once planned,
// the statement takes no lock at all. SIReadLock: what serializable transactions have read is in a table of its own.
const useQuery = `
  select usage as "queueUsage", a.pid, a.usesysid::bigint as role,
    (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::float8 as "transactionMs",
    (extract(epoch from clock_timestamp() - a.state_change) * 1000)::float8 as "stateMs", coalesce(l.locks, 0)::int as locks
  from pg_notification_queue_usage() as usage
    left join pg_stat_get_activity(null) as a on a.usesysid is not null and a.pid <> pg_backend_pid()
    left join (select pid, count(*) as locks from pg_lock_status() where not fastpath and mode <> 'SIReadLock' group by pid) as l on l.pid = a.pid`

interface UseRow extends Omit<SessionUse, 'role' | 'pid'> {
  /** null: no other session is connected. */
  readonly pid: number | null
  readonly role: string
  readonly queueUsage: number
}

/** Opens the connection and runs its statements once, so that they are planned before the server is full. */
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
    // "The server process with PID 123 is among those with the oldest transactions", in the server's language.
    if (code === sqlStates.warning && detail !== undefined) queueHolder = Number(/\d+/.exec(detail)?.[0]) || undefined
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
  /** Runs a query; when the lock table is full, gives up the reserve and runs it once more. */
  const withReserve = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work()
    } catch (error) {
      if (!hasSqlState(error, sqlStates.outOfMemory)) throw error
      hasReserve = false
      await client.query('select pg_advisory_unlock_all()')
      return work()
    }
  }

  await takeReserve()
  socketOf(client)?.unref()
  return {
    lockTable,
    async readUse() {
      // To see the sessions of a role that was made a moment ago, an account that is no superuser looks up its memberships
      // anew, which takes a lock on a shared catalog.
      const { rows: found } = await withReserve(() =>
        client.query<UseRow>({ name: 'tenants2fast_use', text: useQuery }),
      )
      const sessions = found.flatMap(({ pid, role, locks, transactionMs, stateMs }) =>
        pid === null ? [] : [{ pid, role: Number(role), locks, transactionMs, stateMs }],
      )
      return { sessions, queueUsage: found[0]?.queueUsage ?? 0 }
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
          if (!hasSqlState(error, sqlStates.insufficientPrivilege)) throw error
          await joinRole(client, roleName)
          return terminate(client, pid)
        })
        return ended.rows[0]?.isEnded === true
      }),
    async askForQueueHolder() {
      queueHolder = undefined
      await client.query("select pg_notify('tenants2fast_watch', '')").catch((error: unknown) => {
        // The queue is full; the notice with the name has come before this error.
        if (!hasSqlState(error, sqlStates.programLimitExceeded)) throw error
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
