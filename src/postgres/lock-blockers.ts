import type { SqlClient } from '../core/sql-client.js'

/** A session whose locks another one waits for. What the account may not see is null. */
export interface LockBlocker {
  readonly pid: number
  readonly application: string | null
  /** For how long its transaction has been open. */
  readonly seconds: number | null
}

/** The sessions that a backend waits for at this moment, those with the oldest transactions first; three at most. */
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

/** For an error message. An application's name is its own choice, so it is quoted and cut. */
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
