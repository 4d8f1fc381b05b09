import { setTimeout as sleep } from 'node:timers/promises'
import { TenancyError } from '../../core/errors/errors.js'
import type { TenantDatabase } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/quote.js'

// What a tenant may do, in one place: the template is laid out with it, every migration restores it, and so does the repair
// of a role. The tenant's role is a member of the group role, and may by that drop what the group was given by default
// (DROP OWNED BY): PostgreSQL has no privilege to take away.

/** Default privileges: kind of object in `ALTER DEFAULT PRIVILEGES`, its letter in `pg_default_acl`, privileges. */
const defaults = [
  ['tables', 'r', ['select', 'insert', 'update', 'delete']],
  ['sequences', 'S', ['usage', 'select', 'update']],
  ['functions', 'f', ['execute']],
  ['types', 'T', ['usage']],
  ['schemas', 'n', ['usage']],
] as const

/**
 * Statements, inside of a tenant database, that let the group role read and write the data of the application's schemas and
 * use their sequences, functions and types; of ours, it reads the identity row alone. Default privileges cover whatever
 * later files make, as the account that runs them; our own tables are not covered. Once is as good as twice.
 */
export function groupPrivileges(membersRole: string): string {
  return `${ownPrivileges(membersRole)};
  revoke all on schema public from public;
  grant usage on schema public to ${quoteIdentifier(membersRole)};
  ${defaultPrivileges(membersRole)}`
}

function ownPrivileges(membersRole: string): string {
  const members = quoteIdentifier(membersRole)
  return `revoke all on schema tenants2fast from public;
  grant usage on schema tenants2fast to ${members};
  grant select on tenants2fast.identity to ${members}`
}

/** The part of {@link groupPrivileges} that has to be there when a file makes something. */
export function defaultPrivileges(membersRole: string): string {
  const members = quoteIdentifier(membersRole)
  return defaults
    .map(([kind, , privileges]) => `alter default privileges grant ${privileges.join(', ')} on ${kind} to ${members}`)
    .join(';\n  ')
}

/** Statement that makes a login role one of the group. */
export function membership(role: string, membersRole: string): string {
  return `grant ${quoteIdentifier(membersRole)} to ${quoteIdentifier(role)}`
}

/** Statements that let a login role, and nobody else but the owner, into its database. */
export function databasePrivileges(database: string, role: string): string {
  const name = quoteIdentifier(database)
  return `revoke all on database ${name} from public;
    grant connect, temporary on database ${name} to ${quoteIdentifier(role)}`
}

/**
 * Gives role and group back what they lack in one tenant database, on a connection of the provisioning account to it:
 * membership, CONNECT, our own schema, default privileges, and privileges on what was made while those were missing. That
 * are this account's tables, sequences and schemas that nobody was ever granted anything on: what a file has revoked stays
 * revoked, and what it has given to another owner is that one's. In a database that is not the tenant's own, whatever its
 * name, nothing is given to anybody.
 *
 * @returns whether something was missing
 * @throws {@link TenancyError} TENANCY_DATABASE_IDENTITY_MISMATCH
 */
export async function restorePrivileges(
  client: SqlClient,
  database: Pick<TenantDatabase, 'id' | 'epoch' | 'name' | 'roleName'>,
  members: string,
): Promise<boolean> {
  await proveIdentity(client, database)
  const { name: databaseName, roleName: role } = database
  const statements: string[] = []
  const { rows } = await client.query<MissingRow>(missing(members), [role, members])
  const [found] = rows
  if (found === undefined) throw new Error(`the role ${role} or its group is gone`)
  if (!found.isMember) statements.push(membership(role, members))
  if (!found.mayConnect) statements.push(databasePrivileges(databaseName, role))
  if (!found.hasPrivileges) statements.push(ownPrivileges(members), defaultPrivileges(members))
  const group = quoteIdentifier(members)
  for (const { kind, name } of found.bare) {
    const privileges = defaults.find(([, letter]) => letter === kind)?.[2] ?? []
    const noun = kind === 'n' ? 'schema ' : kind === 'S' ? 'sequence ' : ''
    statements.push(`grant ${privileges.join(', ')} on ${noun}${name} to ${group}`)
  }
  if (statements.length === 0) return false
  await inOneTransaction(client, statements)
  return true
}

/** A tenant that takes its privileges away at the same moment may be in the way. */
async function inOneTransaction(client: SqlClient, statements: readonly string[]): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      // One message is one transaction.
      await client.query(statements.join(';\n'))
      return
    } catch (error) {
      if (attempt === maxAttempts || !inTheWay.has(String((error as { code?: unknown }).code))) throw error
      await sleep(Math.random() * 100 * attempt)
    }
  }
}

const maxAttempts = 10
// Deadlock; "tuple concurrently updated", an internal error.
const inTheWay: ReadonlySet<string> = new Set(['40P01', 'XX000'])

async function proveIdentity(client: SqlClient, { id, epoch }: Pick<TenantDatabase, 'id' | 'epoch'>): Promise<void> {
  const { rows } = await client.query<{ database_id: string | null; epoch: number | null }>(
    'select database_id, epoch from tenants2fast.identity',
  )
  if (rows.length === 1 && rows[0]?.database_id === id && rows[0].epoch === epoch) return
  throw new TenancyError(
    'TENANCY_DATABASE_IDENTITY_MISMATCH',
    'A database with the name of a tenant’s is not that tenant’s: nothing was changed in it',
  )
}

interface MissingRow {
  readonly isMember: boolean
  readonly mayConnect: boolean
  readonly hasPrivileges: boolean
  /** Tables (r), sequences (S) and schemas (n) without any privilege; names are quoted. */
  readonly bare: readonly { readonly kind: 'r' | 'S' | 'n'; readonly name: string }[]
}

const missing = (members: string) => `
  with wanted (kind, privilege) as (
    values ${defaults
      .flatMap(([, letter, privileges]) => privileges.map((privilege) => `('${letter}', '${privilege.toUpperCase()}')`))
      .join(', ')}
  ), given (kind, privilege) as (
    select defaclobjtype::text, privilege_type from pg_catalog.pg_default_acl, pg_catalog.aclexplode(defaclacl)
     where defaclnamespace = 0 and defaclrole = pg_catalog.to_regrole(pg_catalog.quote_ident(current_user))
       and grantee = pg_catalog.to_regrole(pg_catalog.quote_ident(${quoteLiteral(members)}))
  ), ours (oid) as (
    select oid from pg_catalog.pg_namespace
     where nspname <> 'tenants2fast' and nspname <> 'information_schema' and nspname !~ '^pg_'
  )
  select
    pg_catalog.pg_has_role(member.oid, members.oid, 'usage') as "isMember",
    pg_catalog.has_database_privilege(member.oid, pg_catalog.current_database(), 'connect')
      and pg_catalog.has_database_privilege(member.oid, pg_catalog.current_database(), 'temporary') as "mayConnect",
    not exists (select * from wanted except select * from given)
      and pg_catalog.has_schema_privilege(members.oid, 'tenants2fast', 'usage')
      and pg_catalog.has_table_privilege(members.oid, 'tenants2fast.identity', 'select') as "hasPrivileges",
    coalesce((
      select pg_catalog.json_agg(bare) from (
        select 'n' as kind, pg_catalog.format('%I', nspname) as name from pg_catalog.pg_namespace
         where oid in (select oid from ours) and nspacl is null
           and nspowner = pg_catalog.to_regrole(pg_catalog.quote_ident(current_user))
        union all
        select case relkind when 'S' then 'S' else 'r' end, pg_catalog.format('%I.%I', nspname, relname)
          from pg_catalog.pg_class join pg_catalog.pg_namespace n on n.oid = relnamespace
         where relnamespace in (select oid from ours) and relacl is null and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
           and relowner = pg_catalog.to_regrole(pg_catalog.quote_ident(current_user))
      ) as bare
    ), '[]') as bare
  from pg_catalog.pg_roles member, pg_catalog.pg_roles members where member.rolname = $1 and members.rolname = $2`
