import type { SqlClient } from '../core/sql-client.js'

/** A session whose locks another one waits for. Fields that the account may not see are null. */
export interface LockBlocker {
  readonly pid: number
  readonly application: string | null
  /** Age of its transaction. */
  readonly seconds: number | null
}

/** Finds the sessions that a backend waits for at this moment, oldest transactions first; three at most. */
export async function findLockBlockers(client: SqlClient, pid: number): Promise<LockBlocker[]> {
  const { rows } = await client.query<LockBlocker>(
    `select pid, nullif(application_name, '') as application,
       extract(epoch from pg_catalog.clock_timestamp() - xact_start)::pg_catalog.int4 as seconds
     from pg_catalog.pg_stat_activity where pid = any(pg_catalog.pg_blocking_pids($1))
     order by xact_start nulls last limit 3`,
    [pid],
  )
  return rows
}

/** Describes blockers for an error message. An application chooses its name itself, so it is quoted and cut. */
export function describeBlockers(blockers: readonly LockBlocker[]): string {
  return blockers
    .map(({ pid, application, seconds }) => {
      const facts = [
        ...(application === null ? [] : [`application ${JSON.stringify(application.slice(0, 60))}`]),
        ...(seconds === null ? [] : [`its transaction is ${seconds} s old`]),
      ]
      return `process ${pid}${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`
    })
    .join(', ')
}
