import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { type AdminRights, joinRole, needsMembership } from '../server/admin-rights.js'
import { isVerifierOf, scramVerifier } from '../server/role-password.js'

/** The login that runs the application's files in one database. */
export interface OwnerLogin {
  readonly name: string
  readonly password: string
}

/** What {@link ensureOwnerLogin} needs. */
export interface OwnerLoginOptions {
  /** Rights of the provisioning account. */
  readonly rights: AdminRights
  /** The group that owns the application's objects. */
  readonly owners: string
  /** Comment on the role, which names the installation; undefined: none. */
  readonly comment?: string | undefined
}

/** Migrations, seeds and an administrator's shell at a time. */
const connectionLimit = 10

interface LoginRow {
  readonly isPlain: boolean
  readonly isMember: boolean
  readonly mayConnect: boolean
  readonly mayRecord: boolean
  readonly isJoined: boolean
  /** The verifier of its password; null: this account may not read it. */
  readonly verifier: string | null
  /** Roles that are its members. */
  readonly members: readonly string[]
  /** Databases that it has settings for; an empty name: for all databases. */
  readonly configured: readonly string[]
}

/**
 * Makes the owner login of a database, or makes it again what it is meant to be: it may connect to this database, take on the
 * group of owners, and add rows to the ledger. Nobody is its member, and it has no settings: it could have changed
 * that, and its password, itself. Of our own schema it can change nothing else.
 *
 * @param client a connection of the provisioning account inside of the database, under the database's lock
 */
export async function ensureOwnerLogin(
  client: SqlClient,
  login: OwnerLogin,
  { rights, owners, comment }: OwnerLoginOptions,
): Promise<void> {
  const row = await readLogin(client, login.name, owners, rights)
  const name = quoteIdentifier(login.name)
  const statements: string[] = []
  if (row === undefined) {
    const verifier = quoteLiteral(scramVerifier(login.password))
    statements.push(
      `create role ${name} login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls
         connection limit ${connectionLimit} password ${verifier}`,
    )
    if (comment !== undefined) statements.push(`comment on role ${name} is ${quoteLiteral(comment)}`)
    // A tenant's limit does not bind migrations, and the login cannot lift it: only a superuser may.
    if (rights.isSuperuser) statements.push(`alter role ${name} set temp_file_limit = -1`)
  } else {
    // Somebody else made it: whoever runs the files would have these rights.
    if (!row.isPlain) throw new Error(`the role ${login.name} exists and can do more than the owner of a database`)
    statements.push(...repairs(login, row, rights))
  }
  if (row?.isMember !== true) statements.push(`grant ${quoteIdentifier(owners)} to ${name}`)
  if (row?.mayConnect !== true) {
    const { rows } = await client.query<{ name: string }>('select pg_catalog.current_database() as name')
    statements.push(`grant connect on database ${quoteIdentifier(rows[0]?.name ?? '')} to ${name}`)
  }
  if (row?.mayRecord !== true) {
    statements.push(
      `grant usage on schema tenants2fast to ${name}`,
      `grant select, insert, delete on tenants2fast.schema_migrations to ${name}`,
    )
  }
  // One message is one transaction.
  if (statements.length > 0) await client.query(statements.join(';\n'))
  if (needsMembership(rights) && row?.isJoined !== true) await joinRole(client, login.name)
}

/** SQL that undoes what a login did to itself. */
function repairs({ name, password }: OwnerLogin, row: LoginRow, { isSuperuser }: AdminRights): string[] {
  const role = quoteIdentifier(name)
  const statements: string[] = []
  if (row.verifier === null || !isVerifierOf(row.verifier, password)) {
    statements.push(`alter role ${role} password ${quoteLiteral(scramVerifier(password))}`)
  }
  for (const member of row.members) statements.push(`revoke ${role} from ${quoteIdentifier(member)}`)
  for (const database of row.configured) {
    const where = database === '' ? '' : `in database ${quoteIdentifier(database)} `
    statements.push(`alter role ${role} ${where}reset all`)
  }
  if (row.configured.length > 0 && isSuperuser) statements.push(`alter role ${role} set temp_file_limit = -1`)
  return statements
}

/**
 * Undoes what the files of a migration may have done to the login that ran them.
 *
 * @param admin a connection of the provisioning account to any database
 */
export async function restoreOwnerLogin(admin: SqlClient, login: OwnerLogin, rights: AdminRights): Promise<void> {
  const row = await readLogin(admin, login.name, undefined, rights)
  const statements = row === undefined ? [] : repairs(login, row, rights)
  if (statements.length > 0) await admin.query(statements.join(';\n'))
}

/** SQL that takes from an owner login what {@link ensureOwnerLogin} gave it, for use inside of its database. */
export function revokeOwnerLogin(name: string, database: string): string {
  const login = quoteIdentifier(name)
  return `revoke all on database ${quoteIdentifier(database)} from ${login};
    revoke all on schema tenants2fast from ${login};
    revoke all on tenants2fast.schema_migrations from ${login}`
}

/** Drops an owner login; what it may do in databases must be gone. */
export function dropOwnerLoginSql(name: string): string {
  return `drop role if exists ${quoteIdentifier(name)}`
}

async function readLogin(
  client: SqlClient,
  name: string,
  owners: string | undefined,
  { isSuperuser }: AdminRights,
): Promise<LoginRow | undefined> {
  const inside =
    owners === undefined
      ? 'false as "isMember", false as "mayConnect", false as "mayRecord"'
      : `pg_catalog.pg_has_role(r.oid, ${quoteLiteral(owners)}::pg_catalog.name, 'usage') as "isMember",
         pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'connect') as "mayConnect",
         pg_catalog.has_schema_privilege(r.oid, 'tenants2fast', 'usage')
           and pg_catalog.has_table_privilege(r.oid, 'tenants2fast.schema_migrations', 'select')
           and pg_catalog.has_table_privilege(r.oid, 'tenants2fast.schema_migrations', 'insert')
           and pg_catalog.has_table_privilege(r.oid, 'tenants2fast.schema_migrations', 'delete') as "mayRecord"`
  const { rows } = await client.query<LoginRow>(
    `select not (r.rolsuper or r.rolcreatedb or r.rolcreaterole or r.rolreplication or r.rolbypassrls) as "isPlain",
       ${inside},
       pg_catalog.pg_has_role(r.oid, 'usage') as "isJoined",
       ${isSuperuser ? '(select a.rolpassword from pg_catalog.pg_authid a where a.oid = r.oid)' : 'null'} as verifier,
       array(
         select m.rolname::pg_catalog.text from pg_catalog.pg_auth_members g join pg_catalog.pg_roles m on m.oid = g.member
          where g.roleid = r.oid and not m.rolsuper and not m.rolcreaterole
       ) as members,
       array(
         select coalesce(d.datname, '')::pg_catalog.text
           from pg_catalog.pg_db_role_setting s left join pg_catalog.pg_database d on d.oid = s.setdatabase
          where s.setrole = r.oid and s.setconfig <> array['temp_file_limit=-1']
       ) as configured
     from pg_catalog.pg_roles r where r.rolname = $1`,
    [name],
  )
  return rows[0]
}
