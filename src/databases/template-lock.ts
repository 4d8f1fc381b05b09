import { setTimeout as sleep } from 'node:timers/promises'
import { lockTimeout, tryLock } from '../core/advisory-lock.js'
import type { SqlClient } from '../core/sql.js'
import { leaseMs } from './database-lease.js'
import { holdersOf } from './database-lock.js'

// Its session is silent while another connection runs the schema's files, so the silence of a live process is short.
const silentHolders = `
  select pid from (${holdersOf('$1::bigint')}) as holders join pg_stat_activity using (pid)
   where state = 'idle' and state_change < now() - make_interval(secs => $2::integer / 1000.0)`

/** Longest wait for a process that builds a template: a large schema takes its time. */
export const templateWaitMs = 600_000

/**
 * Takes the lock under which templates are built and dropped, for as long as the connection lasts. Waits for a
 * process that is at it, but not for one that is stuck or whose machine is gone: its connection is ended.
 *
 * @param admin a connection of the provisioning account to the catalog database
 * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function lockTemplates(admin: SqlClient, key: string, timeoutMs = templateWaitMs): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await tryLock(admin, key))) {
    await admin.query(`select pg_terminate_backend(pid) from (${silentHolders}) as silent`, [key, leaseMs])
    if (performance.now() >= deadline) throw lockTimeout('the templates of tenant databases', timeoutMs)
    await sleep(50)
  }
}

/** Shows that the process behind the lock is alive while `work` runs on another connection. */
export async function showingLife<Result>(admin: SqlClient, work: () => Promise<Result>): Promise<Result> {
  let sign: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => {
    sign = admin.query('select').catch(() => {})
  }, leaseMs / 3)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    await sign
  }
}
