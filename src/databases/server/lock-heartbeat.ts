import { setTimeout as sleep } from 'node:timers/promises'
import { lockTimeout, type LockWait, waitForLock } from '../../postgres/advisory-lock.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteLiteral } from '../../postgres/text/quote.js'
import { ownerSuffix } from '../database-names.js'
import { leaseMs } from './database-lease.js'

/**
 * SQL of the sessions that hold a lock in this database, which is the catalog: no tenant can connect to it. Advisory locks
 * are per database, and `pg_locks` shows those of all: a lock that a tenant takes in its own database is not this lock.
 */
export const holdersOf = (key: string): string => `
  select l.pid from pg_locks l
   where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.pid <> pg_backend_pid()
     and l.database = (select oid from pg_database where datname = current_database())
     and ((l.classid::bigint << 32) | l.objid::bigint) = ${key}`

// A session with a lock is idle while another connection does the work: its process sends it a heartbeat meanwhile.
const unresponsiveHolders = `
  select pid from (${holdersOf('$1::bigint')}) as holders join pg_stat_activity using (pid)
   where state = 'idle' and state_change < now() - make_interval(secs => $2::integer / 1000.0)`

/**
 * Takes a lock whose holders send heartbeats (see {@link withHeartbeat}). Waits for a holder that works. The connection of
 * a holder that sends none, because its process hangs or its machine is gone, is ended.
 *
 * @param client a connection of the provisioning account to the catalog database
 * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function takeHeartbeatLock(client: SqlClient, wait: Omit<LockWait, 'onHeld'>): Promise<void> {
  const endHolders = `select pg_terminate_backend(pid) from (${unresponsiveHolders}) as unresponsive`
  await waitForLock(client, { ...wait, onHeld: (key) => client.query(endHolders, [key, leaseMs]) })
}

/** Runs `work` on another connection, and sends heartbeats on `client`, which holds the lock, meanwhile. */
export async function withHeartbeat<Result>(client: SqlClient, work: () => Promise<Result>): Promise<Result> {
  let heartbeat: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => {
    heartbeat = client.query('select').catch(() => {})
  }, leaseMs / 3)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    await heartbeat
  }
}

/** `application_name` of the sessions that run files of the application under a database's lock. */
export const fileSessions = 'tenants2fast migration'

const pollMs = 50
// Between two statements of a file, a process that lives pauses for less.
const hungAfterMs = 2000

/**
 * Waits until nobody runs files in a database. The caller holds the lock, and yet another session may run some: that of a process
 * that was killed, until the server has finished its statement, or of one that has lost the lock with its connection. A file
 * without a transaction must not run twice at once. A session that has been idle between two statements for 2 s is ended.
 *
 * @param client a connection of the provisioning account to any database
 * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function waitForFileSessions(
  client: SqlClient,
  { database, timeoutMs, what }: Pick<LockWait, 'timeoutMs' | 'what'> & { readonly database: string },
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const { rowCount } = await client.query(
      `select case when state = 'idle' and state_change < now() - make_interval(secs => $2::integer / 1000.0)
                 then pg_terminate_backend(pid) end from pg_stat_activity
        where datname = $3 and usename = $3::name || ${quoteLiteral(ownerSuffix)} and application_name = $1`,
      [fileSessions, hungAfterMs, database],
    )
    if (rowCount === 0) return
    if (performance.now() >= deadline) throw lockTimeout(what, timeoutMs)
    await sleep(pollMs)
    await endAbandonedTransactions(client, database)
  }
}

// A transaction that a process left in a tenant's database when it hung and lost the lock: it would block the next migration.
const isAbandoned = `usename in (current_user, $2::name || ${quoteLiteral(ownerSuffix)})
        and pid <> pg_backend_pid()
        and application_name in (current_setting('application_name'), ${quoteLiteral(fileSessions)})
        and state like 'idle in transaction%' and state_change < now() - make_interval(secs => $1::integer / 1000.0)`

/**
 * Ends the transactions that a process left in a tenant's database. The caller holds the lock.
 *
 * @param client a connection of the provisioning account to any database
 */
async function endAbandonedTransactions(client: SqlClient, database: string): Promise<void> {
  await client.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = $2 and ${isAbandoned}`, [
    leaseMs,
    database,
  ])
}

// The lock comes first: who looks for others' sessions before that may miss one.
const takeLock = `
  with taken as materialized (select pg_try_advisory_lock($3::bigint) as "isLocked")
  select "isLocked", found.* from taken left join lateral (
    select count(case when ${isAbandoned} then pg_terminate_backend(pid) end)::integer as ended,
      count(case when application_name = ${quoteLiteral(fileSessions)}
        and usename = $2::name || ${quoteLiteral(ownerSuffix)} then 1 end)::integer as "fileSessions"
    from pg_stat_activity where "isLocked" and datname = $2::name
  ) as found on true`

/**
 * Takes the lock of a tenant's database, as {@link takeHeartbeatLock}, and with the same message ends the transactions that a
 * process left in the database when it hung and lost the lock, and looks whether sessions run files there.
 *
 * @returns whether there are any: see {@link waitForFileSessions}
 * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function takeDatabaseLock(
  client: SqlClient,
  wait: Omit<LockWait, 'onHeld' | 'attempt'> & { readonly database: string },
): Promise<boolean> {
  let hasFileSessions = false
  await takeHeartbeatLock(client, {
    ...wait,
    async attempt() {
      const { rows } = await client.query<{ readonly isLocked: boolean; readonly fileSessions: number | null }>(
        takeLock,
        [leaseMs, wait.database, wait.key],
      )
      hasFileSessions = (rows[0]?.fileSessions ?? 0) > 0
      return rows[0]?.isLocked === true
    },
  })
  return hasFileSessions
}
