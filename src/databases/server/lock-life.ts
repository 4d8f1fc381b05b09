import { setTimeout as sleep } from 'node:timers/promises'
import { type LockWait, lockTimeout, tryLock } from '../../postgres/advisory-lock.js'
import type { SqlClient } from '../../core/sql-client.js'
import { leaseMs } from './database-lease.js'

/**
 * Sessions that hold a lock in this database, which is the catalog: no tenant can connect to it. Advisory locks are per
 * database, and `pg_locks` shows those of all: one that a tenant takes in its own database is not this lock.
 */
export const holdersOf = (key: string): string => `
  select l.pid from pg_locks l
   where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.pid <> pg_backend_pid()
     and l.database = (select oid from pg_database where datname = current_database())
     and ((l.classid::bigint << 32) | l.objid::bigint) = ${key}`

// Its session is silent while another connection does the work, so the silence of a live process is short.
const silentHolders = `
  select pid from (${holdersOf('$1::bigint')}) as holders join pg_stat_activity using (pid)
   where state = 'idle' and state_change < now() - make_interval(secs => $2::integer / 1000.0)`

/**
 * Takes a lock whose holders show life (see {@link showingLife}). Waits for a process that is at it, but not for one that is
 * stuck or whose machine is gone: its connection is ended.
 *
 * @param client a connection of the provisioning account to the catalog database
 * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function waitForLivingLock(client: SqlClient, { key, timeoutMs, what }: LockWait): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await tryLock(client, key))) {
    await client.query(`select pg_terminate_backend(pid) from (${silentHolders}) as silent`, [key, leaseMs])
    if (performance.now() >= deadline) throw lockTimeout(what, timeoutMs)
    await sleep(50)
  }
}

/** Shows that the process behind the lock of `client` is alive while `work` runs on another connection. */
export async function showingLife<Result>(client: SqlClient, work: () => Promise<Result>): Promise<Result> {
  let sign: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => {
    sign = client.query('select').catch(() => {})
  }, leaseMs / 3)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    await sign
  }
}

/**
 * Ends what a process left in a tenant's database that lost the lock of it while it was stuck: its transaction would hold
 * up whoever comes next. The caller has the lock.
 *
 * @param client a connection of the provisioning account to the tenant's database
 */
export async function endStuckSessions(client: SqlClient): Promise<void> {
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
        and application_name = current_setting('application_name')
        and state like 'idle in transaction%' and state_change < now() - make_interval(secs => $1::integer / 1000.0)`,
    [leaseMs],
  )
}
