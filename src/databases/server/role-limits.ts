import { lockTimeout } from '../../postgres/advisory-lock.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteLiteral } from '../../postgres/text/quote.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'

/**
 * `CONNECTION LIMIT` of a tenant's login role: the server enforces it in addition to the budgets of the processes. It is two
 * more than they may open, for broken connections that the server has not closed yet. Superusers are not bound by it, so
 * the administrator can always connect.
 */
export function roleConnectionLimit(maxConnectionsPerTenant: number, processes: number): number {
  return maxConnectionsPerTenant * processes + 2
}

/**
 * Sets the limit of an installation's login roles. One query finds those that differ, which is none unless a setting
 * changed; one statement changes them all.
 *
 * @param members the group role that they all belong to
 * @param lockKey key of the lock that lets one process at a time change roles
 * @returns how many roles differed
 * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function reconcileRoleLimits(
  admin: SqlClient,
  members: string,
  limit: number,
  lockKey: string,
): Promise<number> {
  if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError('A connection limit is a positive number')
  // An account that made the group role without being a superuser is a member of it, too (PostgreSQL 16). Such an account
  // has CREATEROLE.
  const differing = `select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.member
    where m.roleid = to_regrole(quote_ident(${quoteLiteral(members)})) and r.rolcanlogin and not r.rolcreaterole
      and not r.rolsuper and r.rolconnlimit <> ${limit}`
  const { rows } = await admin.query<{ count: number }>(`select count(*)::int as count from (${differing}) roles`)
  const count = rows[0]?.count ?? 0
  if (count === 0) return 0
  // One short transaction per role, so that a drop of one role does not wait for all of them. Processes that start together
  // do it one after another. A role that is dropped meanwhile needs no limit; a limit that a crash loses is set by the next
  // start.
  const sql = `do $do$
     declare role name;
     begin
       for role in ${differing} loop
         perform set_config('lock_timeout', '${lockTimeoutMs}', true), set_config('synchronous_commit', 'off', true);
         perform pg_advisory_xact_lock(${quoteLiteral(lockKey)}::bigint);
         begin
           execute format('alter role %I connection limit ${limit}', role);
         exception when undefined_object or internal_error then null;
         end;
         commit;
       end loop;
     end $do$`
  await admin.query(sql).catch((error: unknown) => {
    if (hasSqlState(error, sqlStates.lockNotAvailable)) throw lockTimeout('the login roles of tenants', lockTimeoutMs)
    throw error
  })
  return count
}

const lockTimeoutMs = 60_000
