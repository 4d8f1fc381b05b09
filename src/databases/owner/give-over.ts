import { setTimeout as sleep } from 'node:timers/promises'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { closedDatabase, defaultPrivileges, type GroupRoles, ownPrivileges } from '../building/tenant-privileges.js'
import { hasOwners, setDatabaseSettingSql } from './base-schema.js'
import { givenObjects } from './given-objects.js'

/** Options of {@link giveOver}. */
export interface GiveOverOptions extends GroupRoles {
  /** Name of the database. */
  readonly database: string
  /** Longest wait for a lock. */
  readonly lockTimeoutMs: number
  /** How often the whole is tried. */
  readonly maxAttempts: number
}

// An earlier release also leaves default privileges of its account: it may have migrated the database after this one.
const isDue = `select not ${hasOwners} or exists (
    select from pg_catalog.pg_default_acl, pg_catalog.aclexplode(defaclacl)
     where defaclnamespace = 0 and defaclrole = pg_catalog.to_regrole(pg_catalog.quote_ident(current_user))
       and grantee = pg_catalog.to_regrole(pg_catalog.quote_ident($1))
  ) as "isDue"`

/**
 * Gives the application's objects in a database that an earlier release has built or migrated to the group of owners: those
 * that belong to the provisioning account. Objects of extensions, of our own schema and of other roles keep their owners, and
 * so does what only a superuser may own. Privileges stay as they are, and default privileges become those of the group. One
 * transaction, which takes every object's lock for a moment. Does nothing the second time.
 *
 * @param client a connection of the provisioning account inside of the database, under the database's lock
 * @returns whether something was done
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_BLOCKED
 */
export async function giveOver(client: SqlClient, options: GiveOverOptions): Promise<boolean> {
  const { rows } = await client.query<{ isDue: boolean }>(isDue, [options.members])
  if (rows[0]?.isDue !== true) return false
  for (let attempt = 1; ; attempt += 1) {
    try {
      // One message is one transaction.
      await client.query(giveOverSql(options))
      return true
    } catch (error) {
      const isLocked = hasSqlState(error, sqlStates.lockNotAvailable, sqlStates.deadlockDetected)
      if (!isLocked && !hasSqlState(error, sqlStates.internalError)) throw error
      if (attempt >= options.maxAttempts) throw isLocked ? blocked(options, attempt, error) : error
    }
    // Sessions that waited behind it go first.
    await sleep(Math.min(attempt * 250, 1500) * (0.5 + Math.random()))
  }
}

function blocked({ lockTimeoutMs }: GiveOverOptions, attempts: number, cause: unknown): TenancyError {
  return new TenancyError(
    'TENANCY_DATABASE_SCHEMA_BLOCKED',
    `Its objects could not be given to their owner: a lock could not be had within ${lockTimeoutMs} ms, ${attempts} times: ` +
      'try again when the transactions of other sessions are over',
    { cause },
  )
}

function giveOverSql({ members, owners, database, lockTimeoutMs }: GiveOverOptions): string {
  const groups = { members, owners }
  return `set local lock_timeout = ${lockTimeoutMs};
    ${closedDatabase(database, groups)};
    ${ownPrivileges(groups)};
    ${setDatabaseSettingSql(owners)};
    ${givenObjects(owners)};
    ${transferDefaultPrivileges(owners)};
    ${defaultPrivileges(groups)}`
}

const kinds = `case defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
  when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end`

/** What files have said of objects to come holds for those of the group, and no longer for the account's. */
function transferDefaultPrivileges(owners: string): string {
  const group = quoteLiteral(quoteIdentifier(owners))
  return `do $do$
    declare command text;
    begin
      for command in
        with acls as (
          select ${kinds} as kind, coalesce(' in schema ' || quote_ident(nspname), '') as place, defaclacl, defaclrole,
                 defaclnamespace = 0 and defaclobjtype in ('f', 'T') as has_public
            from pg_default_acl left join pg_namespace n on n.oid = defaclnamespace
           where defaclrole = to_regrole(quote_ident(current_user))
        ), granted as (
          select acls.*, x.privilege_type, x.is_grantable, x.grantee,
                 case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end as role
            from acls, aclexplode(defaclacl) x where x.grantee <> defaclrole
        ), closed as (
          select * from acls
           where has_public and not exists (select from aclexplode(defaclacl) where grantee = 0)
        ), commands (nr, command) as (
          select 1, format('alter default privileges for role %s%s revoke all on %s from public', ${group}, place, kind)
            from closed
          union all
          select 2, format('alter default privileges for role %s%s grant %s on %s to %s%s',
                           ${group}, place, privilege_type, kind, role, case when is_grantable then ' with grant option' else '' end)
            from granted
          union all
          -- Without the last entry that differs from the built-in privileges, PostgreSQL forgets the whole.
          select distinct 3, format('alter default privileges%s revoke all on %s from %s', place, kind, role)
            from granted where not (has_public and grantee = 0)
          union all
          select 4, format('alter default privileges grant %s on %s to public', case kind when 'types' then 'usage' else 'execute' end, kind)
            from closed
        )
        select c.command from commands c order by c.nr
      loop execute command; end loop;
    end $do$`
}
