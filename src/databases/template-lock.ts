import { setTimeout as sleep } from 'node:timers/promises'
import { TenancyError } from '../core/errors.js'
import type { SqlClient } from '../core/sql.js'
import { leaseMs } from './database-lease.js'

// Its session is silent while another connection runs the schema's files, so the silence of a live process is short.
const holders = `
  select pid from pg_locks join pg_stat_activity using (pid)
   where locktype = 'advisory' and classid = 7205004 and objid::bigint = hashtext($1)::bigint & 4294967295
     and objsubid = 2 and granted and state = 'idle' and state_change < now() - make_interval(secs => $2::integer / 1000.0)`

/** Takes the lock under which templates of a prefix are built and dropped, unless somebody holds it. */
export async function tryLockTemplates(admin: SqlClient, templatePrefix: string): Promise<boolean> {
  const { rows } = await admin.query<{ isLocked: boolean }>(
    'select pg_try_advisory_lock(7205004, hashtext($1)) as "isLocked"',
    [templatePrefix],
  )
  return rows[0]?.isLocked === true
}

/**
 * Takes the lock under which templates of a prefix are built and dropped, for as long as the connection lasts. Waits for a
 * process that is at it, but not for one that is stuck or whose machine is gone: its connection is ended.
 *
 * @param timeoutMs longest wait for others. Default: 600,000
 * @throws {@link TenancyError} TENANCY_DATABASE_BUILD_FAILED
 */
export async function lockTemplates(admin: SqlClient, templatePrefix: string, timeoutMs = 600_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; !(await tryLockTemplates(admin, templatePrefix));) {
    if (Date.now() > deadline) {
      throw new TenancyError(
        'TENANCY_DATABASE_BUILD_FAILED',
        `Other processes have been building templates under ${templatePrefix} for more than ${timeoutMs / 1000} s: ` +
          'look for a schema file that does not come to its end',
      )
    }
    await admin.query(`select pg_terminate_backend(pid) from (${holders}) as silent`, [templatePrefix, leaseMs])
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
