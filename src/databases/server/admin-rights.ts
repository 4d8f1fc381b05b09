import type { Logger } from '../../core/logger.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'

/** Rights of the provisioning account beside CREATEDB and CREATEROLE. */
export interface AdminRights {
  readonly isSuperuser: boolean
  /** May end any session that is not a superuser's (`pg_signal_backend`). */
  readonly maySignal: boolean
  /** May see what any session does (`pg_read_all_stats`). */
  readonly mayReadActivity: boolean
}

/** Reads the rights of a connection's account. */
export async function readAdminRights(admin: SqlClient): Promise<AdminRights> {
  const { rows } = await admin.query<AdminRights>(
    `select rolsuper as "isSuperuser",
       rolsuper or pg_has_role(oid, 'pg_signal_backend', 'usage') as "maySignal",
       rolsuper or pg_has_role(oid, 'pg_read_all_stats', 'usage') as "mayReadActivity"
     from pg_roles where rolname = current_user`,
  )
  const [rights] = rows
  if (rights === undefined) throw new Error('The account of this connection is no role')
  return rights
}

/** Logs in one line what an account that is no superuser cannot do here. */
export function reportAdminRights(rights: AdminRights, logger: Logger): void {
  if (rights.isSuperuser) return
  const lacking = [
    'superuser (limits of temporary files, TENANT_HARDENED)',
    ...(rights.maySignal ? [] : ['pg_signal_backend (ends sessions of roles that this account did not make)']),
    ...(rights.mayReadActivity ? [] : ['pg_read_all_stats (sees what sessions of other roles do)']),
  ]
  logger.warn({ lacking }, 'The provisioning account is no superuser: docs/isolation.md says what is left out')
}

/** Whether the account has to be a member of tenants' roles to see and end their sessions. */
export function needsMembership(rights: AdminRights): boolean {
  return !(rights.maySignal && rights.mayReadActivity)
}

/**
 * Makes the account a member of a role, so that it can see and end the role's sessions. The account that made a role may
 * do that (PostgreSQL manual, 21.3 and GRANT); from PostgreSQL 16 on without the right to become the role.
 */
export async function joinRole(admin: SqlClient, role: string): Promise<void> {
  const name = quoteIdentifier(role)
  try {
    await admin.query(`grant ${name} to current_user with inherit true, set false`)
  } catch (error) {
    // PostgreSQL 15 has no such options; a member inherits.
    if (!hasSqlState(error, sqlStates.syntaxError)) throw error
    await admin.query(`grant ${name} to current_user`)
  }
}

/**
 * Makes the account a member of a group role, with its privileges and the right to give it objects: an account that is no
 * superuser needs that from PostgreSQL 15 on (ALTER … OWNER, SET ROLE). Does nothing for a superuser, and for a member.
 */
export async function joinGroup(admin: SqlClient, group: string): Promise<void> {
  const { rows } = await admin.query<{ isMember: boolean; version: number }>(
    `select pg_has_role($1::name, 'usage') and
         case when current_setting('server_version_num')::int < 160000 then pg_has_role($1::name, 'member')
           else pg_has_role($1::name, 'set') end as "isMember",
       current_setting('server_version_num')::int as version`,
    [group],
  )
  if (rows[0]?.isMember !== false) return
  const options = rows[0].version < 160_000 ? '' : ' with inherit true, set true'
  await admin.query(`grant ${quoteIdentifier(group)} to current_user${options}`)
}

/** Makes the account a member of every login role of an installation that it is not a member of yet. */
export async function joinRoles(admin: SqlClient, members: string): Promise<void> {
  const { rows } = await admin.query<{ name: string }>(
    `select r.rolname as name from pg_auth_members m join pg_roles r on r.oid = m.member
      where m.roleid = to_regrole(quote_ident($1)) and r.rolcanlogin and not r.rolcreaterole
        and not pg_has_role(r.oid, 'usage')`,
    [members],
  )
  for (const { name } of rows) {
    // The role was dropped meanwhile, or made by another account; then the failure to end its sessions is reported.
    await joinRole(admin, name).catch((error: unknown) => {
      const { undefinedObject, insufficientPrivilege, invalidGrantOperation } = sqlStates
      if (!hasSqlState(error, undefinedObject, insufficientPrivilege, invalidGrantOperation)) throw error
    })
  }
}
