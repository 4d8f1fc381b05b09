import { TenancyError } from '../../core/errors/errors.js'
import type { TenantDatabase } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { retry } from '../../postgres/outages/retry.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { hasOwners } from '../owner/base-schema.js'
import {
  databasePrivileges,
  defaultGrants,
  defaultPrivileges,
  type GroupRoles,
  membership,
  ownPrivileges,
} from './tenant-privileges.js'

/**
 * Restores what the role and the group lack in one tenant database: membership, CONNECT, privileges on our own schema,
 * default privileges, and privileges on objects that were made while those were missing. These objects are the tables,
 * sequences and schemas of the group of owners, or of this account, that nobody was ever granted anything on: what a file has
 * revoked stays revoked, and what it has given to another owner is left to that owner. In a database that is not the tenant's own, whatever its
 * name, nothing is granted to anybody.
 *
 * A tenant's role can drop these privileges, because it is a member of the group (DROP OWNED BY): PostgreSQL has no
 * privilege for that which could be revoked.
 *
 * @param client a connection of the provisioning account to the database
 * @returns whether something was missing
 * @throws {@link TenancyError} TENANCY_DATABASE_IDENTITY_MISMATCH
 */
export async function restorePrivileges(
  client: SqlClient,
  database: Pick<TenantDatabase, 'id' | 'epoch' | 'name' | 'roleName'>,
  groups: GroupRoles,
): Promise<boolean> {
  await checkIdentity(client, database)
  return restoreMissingPrivileges(client, database, groups)
}

/** The same in a database whose identity was checked. */
export async function restoreMissingPrivileges(
  client: SqlClient,
  database: Pick<TenantDatabase, 'name' | 'roleName'>,
  groups: GroupRoles,
): Promise<boolean> {
  const { members } = groups
  const { name: databaseName, roleName: role } = database
  const statements: string[] = []
  const { rows } = await client.query<MissingRow>(missingPrivileges(groups), [role, members])
  const [found] = rows
  if (found === undefined) throw new Error(`the role ${role} or its group is gone`)
  if (!found.isMember) statements.push(membership(role, members))
  if (!found.mayConnect) statements.push(databasePrivileges(databaseName, role, groups))
  if (!found.hasPrivileges) {
    statements.push(ownPrivileges(groups), defaultPrivileges(groups, found.hasOwners ? undefined : 'current_user'))
  }
  const group = quoteIdentifier(members)
  for (const { kind, name } of found.bare) {
    const privileges = defaultGrants.find(([, letter]) => letter === kind)?.[2] ?? []
    const noun = kind === 'n' ? 'schema ' : kind === 'S' ? 'sequence ' : ''
    statements.push(`grant ${privileges.join(', ')} on ${noun}${name} to ${group}`)
  }
  if (statements.length === 0) return false
  await inOneTransaction(client, statements)
  return true
}

const maxAttempts = 10

/** Runs the statements; tries again when a tenant that drops its privileges at the same moment makes them fail. */
async function inOneTransaction(client: SqlClient, statements: readonly string[]): Promise<void> {
  // One message is one transaction.
  await retry(() => client.query(statements.join(';\n')), {
    mayRetry: (error, attempt) =>
      attempt < maxAttempts && hasSqlState(error, sqlStates.deadlockDetected, sqlStates.internalError),
    pauseMs: (attempt) => Math.random() * 100 * attempt,
  })
}

/** @throws {@link TenancyError} TENANCY_DATABASE_IDENTITY_MISMATCH: the database is not the one that the catalog means */
export async function checkIdentity(
  client: SqlClient,
  { id, epoch }: Pick<TenantDatabase, 'id' | 'epoch'>,
): Promise<void> {
  const { rows } = await client.query<{ database_id: string | null; epoch: number | null }>(
    'select database_id, epoch from tenants2fast.identity',
  )
  if (rows.length === 1 && rows[0]?.database_id === id && rows[0].epoch === epoch) return
  throw new TenancyError(
    'TENANCY_DATABASE_IDENTITY_MISMATCH',
    'A database that has the name of a tenant’s database is not that tenant’s: nothing was changed in it',
  )
}

interface MissingRow {
  /** False: an earlier release has built the database, and no migration has given its objects to the group yet. */
  readonly hasOwners: boolean
  readonly isMember: boolean
  readonly mayConnect: boolean
  readonly hasPrivileges: boolean
  /** Tables (r), sequences (S) and schemas (n) that nobody was ever granted anything on; names are quoted. */
  readonly bare: readonly { readonly kind: 'r' | 'S' | 'n'; readonly name: string }[]
}

// `database-state.ts` asks whether there is anything of this, by a query that a new session answers sooner.
const missingPrivileges = ({ members, owners }: GroupRoles) => `
  with base (has_owners) as (
    select ${hasOwners}
  ), wanted (kind, privilege) as (
    values ${defaultGrants
      .flatMap(([, letter, privileges]) => privileges.map((privilege) => `('${letter}', '${privilege.toUpperCase()}')`))
      .join(', ')}
  ), given (kind, privilege) as (
    select defaclobjtype::text, privilege_type from pg_catalog.pg_default_acl, pg_catalog.aclexplode(defaclacl)
     where defaclnamespace = 0 and defaclrole = pg_catalog.to_regrole(pg_catalog.quote_ident(
         case when (select has_owners from base) then ${quoteLiteral(owners)} else current_user end))
       and grantee = pg_catalog.to_regrole(pg_catalog.quote_ident(${quoteLiteral(members)}))
  ), owner (oid) as (
    select oid from pg_catalog.pg_roles where rolname in (current_user, ${quoteLiteral(owners)})
  ), ours (oid) as (
    select oid from pg_catalog.pg_namespace
     where nspname <> 'tenants2fast' and nspname <> 'information_schema' and nspname !~ '^pg_'
  )
  select
    base.has_owners as "hasOwners",
    pg_catalog.pg_has_role(member.oid, members.oid, 'usage') as "isMember",
    pg_catalog.has_database_privilege(member.oid, pg_catalog.current_database(), 'connect')
      and pg_catalog.has_database_privilege(member.oid, pg_catalog.current_database(), 'temporary')
      and (not base.has_owners
        or (pg_catalog.has_database_privilege(${quoteLiteral(owners)}::pg_catalog.name, pg_catalog.current_database(), 'create')
          and pg_catalog.has_database_privilege(${quoteLiteral(owners)}::pg_catalog.name, pg_catalog.current_database(), 'temporary')))
      as "mayConnect",
    not exists (select * from wanted except select * from given)
      and pg_catalog.has_schema_privilege(members.oid, 'tenants2fast', 'usage')
      and (not base.has_owners
        or pg_catalog.has_schema_privilege(${quoteLiteral(owners)}::pg_catalog.name, 'tenants2fast', 'usage'))
      and pg_catalog.has_table_privilege(members.oid, 'tenants2fast.identity', 'select')
      and (not base.has_owners
        or pg_catalog.has_table_privilege(${quoteLiteral(owners)}::pg_catalog.name, 'tenants2fast.identity', 'select'))
      as "hasPrivileges",
    coalesce((
      select pg_catalog.json_agg(bare) from (
        select 'n' as kind, pg_catalog.format('%I', nspname) as name from pg_catalog.pg_namespace
         where oid in (select oid from ours) and nspacl is null
           and nspowner in (select oid from owner)
        union all
        select case relkind when 'S' then 'S' else 'r' end, pg_catalog.format('%I.%I', nspname, relname)
          from pg_catalog.pg_class join pg_catalog.pg_namespace n on n.oid = relnamespace
         where relnamespace in (select oid from ours) and relacl is null and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
           and relowner in (select oid from owner)
      ) as bare
    ), '[]') as bare
  from base, pg_catalog.pg_roles member, pg_catalog.pg_roles members where member.rolname = $1 and members.rolname = $2`
