import type { TenantDatabase } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import type { AppliedFile } from '../../postgres/files/sql-files.js'
import { defaultGrants, type GroupRoles } from '../building/tenant-privileges.js'
import { isHardenedSql, type RevokedFunctions } from '../server/hardening.js'
import { hasOwners } from './base-schema.js'

/** What {@link readState} needs. */
export interface StateOptions extends GroupRoles {
  /** Name of the provisioning account. */
  readonly account: string
  /** Extensions that the database has to have. */
  readonly extensions: readonly string[]
  /** Functions that tenants must not call; undefined: the database is not hardened. */
  readonly revoked: RevokedFunctions | undefined
  /** The owner login, when it asks for itself: whether it is what it has to be. Default: it is not looked at. */
  readonly login?: { readonly mustBeJoined: boolean } | undefined
}

interface StateRow {
  readonly identity: readonly (readonly [databaseId: string, epoch: number])[] | null
  readonly isReady: boolean | null
  readonly ledger: readonly AppliedFile[] | null
}

/**
 * Asks by one message whether a database is as this release wants it, and what its ledger has, so that usually nothing else
 * has to be asked and nothing mended. The session's search path is pg_catalog afterwards.
 *
 * @param client a new connection of the provisioning account, or of the owner login, to the database
 * @returns the ledger; undefined: something is not as it has to be
 * @throws what PostgreSQL says, such as when an earlier release has built the database
 */
export async function readState(
  client: SqlClient,
  { id, epoch, roleName }: TenantDatabase,
  options: StateOptions,
): Promise<readonly AppliedFile[] | undefined> {
  // One message; its answers are a list.
  const answers = (await client.query(`set search_path = pg_catalog; ${stateSql(roleName, options)}`)) as unknown as {
    readonly rows: readonly StateRow[]
  }[]
  const row = answers.at(-1)?.rows[0]
  const [own, ...others] = row?.identity ?? []
  if (own?.[0] !== id || own[1] !== epoch || others.length > 0) return undefined
  return row?.isReady === true ? (row.ledger ?? []) : undefined
}

/**
 * SQL expression for {@link readState} in short: the identity, the number of files and the last one, and one privilege of each
 * that a tenant can drop (DROP OWNED drops all of a role's at once). A login that can connect was made after a full look.
 * The session's search path is pg_catalog.
 */
export function unaltered(
  { id, epoch, roleName }: TenantDatabase,
  ledger: readonly AppliedFile[],
  { members, extensions, revoked }: Omit<StateOptions, 'login'>,
): string {
  const last = ledger.at(-1)
  const isLast =
    last &&
    `version = ${last.version} and name = ${quoteLiteral(last.name)} and checksum = ${quoteLiteral(last.checksum)}`
  const group = quoteLiteral(members)
  return [
    `(select count(*) = 1 and bool_and(database_id = ${quoteLiteral(id)} and epoch = ${epoch}) from tenants2fast.identity)`,
    `(select count(*) = ${ledger.length}${isLast ? ` and count(*) filter (where ${isLast}) = 1` : ''}
       from tenants2fast.schema_migrations)`,
    `has_schema_privilege(${group}, 'tenants2fast', 'usage')`,
    `has_database_privilege(${quoteLiteral(roleName)}, current_database(), 'connect')`,
    ...(revoked ? [`not has_function_privilege(${group}, ${advisoryLock}, 'execute')`] : []),
    ...hasExtensions(extensions),
  ].join(' and ')
}

/**
 * Reads the ledger of a database that serves, and looks whether tenants, files and administrators have left it as it has to
 * be: identity, privileges, functions, extensions. Not looked at are privileges on single objects and by default, which go
 * together with those on our own schema (and which `fleet.check` compares).
 *
 * @param client a connection of the provisioning account to the database, with the search path pg_catalog
 * @returns the ledger; undefined: something is not as it has to be
 * @throws what PostgreSQL says, such as when an earlier release has built the database
 */
export async function readLedgerOf(
  client: SqlClient,
  { id, epoch, roleName }: TenantDatabase,
  { members, owners, extensions, revoked }: Omit<StateOptions, 'login'>,
): Promise<readonly AppliedFile[] | undefined> {
  const conditions = [
    hasOwners,
    ...droppable(roleName, { members, owners }),
    ...hasExtensions(extensions),
    ...(revoked ? [isHardenedSql(revoked, members, owners)] : []),
  ]
  // Plain rows: functions that make one answer of them would cost a new session more.
  const answers = (await client.query(
    `select database_id as id, epoch, ${conditions.join(' and ')} as "isReady" from tenants2fast.identity;
     select version, name, checksum from tenants2fast.schema_migrations`,
  )) as unknown as readonly [{ readonly rows: readonly IdentityRow[] }, { readonly rows: readonly LedgerRow[] }]
  const [identity, ledger] = answers
  const [own, ...others] = identity.rows
  if (own?.id !== id || own.epoch !== epoch || !own.isReady || others.length > 0) return undefined
  // A number of 14 digits comes as text.
  return ledger.rows
    .map((row) => ({ ...row, version: Number(row.version) }))
    .toSorted((one, other) => one.version - other.version)
}

type LedgerRow = Omit<AppliedFile, 'version'> & { readonly version: number | string }

interface IdentityRow {
  readonly id: string | null
  readonly epoch: number | null
  readonly isReady: boolean
}

/** The number of `pg_advisory_lock(bigint)`, which is the same in every release: a name takes longer. All are revoked at once. */
const advisoryLock = 2880

const oidOf = (role: string) => `${quoteLiteral(quoteIdentifier(role))}::regrole`
const onDatabase = (who: string, privilege: string) =>
  `has_database_privilege(${who}, current_database(), '${privilege}')`

function hasExtensions(extensions: readonly string[]): string[] {
  const names = extensions.map((name) => quoteLiteral(name)).join(', ')
  if (names === '') return []
  return [`(select count(*) from pg_extension where extname in (${names})) = ${new Set(extensions).size}`]
}

function stateSql(roleName: string, options: StateOptions): string {
  const { members, owners, account, extensions, revoked, login } = options
  const complete = [
    ...hasExtensions(extensions),
    ...(revoked ? [isHardenedSql(revoked, members, owners)] : []),
    ...(login ? [loginIsRight(owners, account, login.mustBeJoined)] : []),
  ]
  return `select
    (select json_agg(json_build_array(database_id, epoch)) from tenants2fast.identity) as identity,
    ${[...nothingMissing(roleName, options), ...complete].map((each) => `(${each})`).join(' and ')} as "isReady",
    -- A number of 14 digits has room in JSON.
    (select json_agg(json_build_object('version', version, 'name', name, 'checksum', checksum) order by version)
       from tenants2fast.schema_migrations) as ledger`
}

/** What a tenant can drop, or an administrator may have forgotten, apart from the privileges on single objects. */
function droppable(roleName: string, { members, owners }: GroupRoles): string[] {
  const [role, group, owner] = [oidOf(roleName), oidOf(members), oidOf(owners)]
  return [
    `pg_has_role(${role}, ${group}, 'usage')`,
    ...[onDatabase(role, 'connect'), onDatabase(role, 'temporary'), onDatabase(owner, 'create')],
    onDatabase(owner, 'temporary'),
    ...[group, owner].flatMap((who) => [
      `has_schema_privilege(${who}, 'tenants2fast', 'usage')`,
      `has_table_privilege(${who}, 'tenants2fast.identity', 'select')`,
    ]),
  ]
}

/**
 * That `giveOver` and `restoreMissingPrivileges` have nothing to do. A new session has everything to read that a query
 * mentions: this one mentions little, where those say what is missing. A role that is gone makes it fail.
 */
function nothingMissing(roleName: string, { members, owners, account }: StateOptions): string[] {
  const [group, owner, admin] = [oidOf(members), oidOf(owners), oidOf(account)]
  const wanted = defaultGrants.flatMap(([, kind, privileges]) =>
    privileges.map((privilege) => quoteLiteral(`${kind}${privilege.toUpperCase()}`)),
  )
  const isOurs = (column: string) => `${column} in (${owner}, ${admin})`
  return [
    hasOwners,
    `select count(*) filter (where defaclrole = ${owner} and defaclobjtype::text || privilege_type in (${wanted.join(', ')}))
        = ${wanted.length} and count(*) filter (where defaclrole = ${admin}) = 0
      from pg_default_acl, aclexplode(defaclacl) where defaclnamespace = 0 and grantee = ${group}`,
    ...droppable(roleName, { members, owners }),
    // What the server came with has lower numbers. The schemas of temporary objects have no privileges either.
    `not exists (select from pg_namespace where nspacl is null and (oid >= 16384 or nspname = 'public')
       and not starts_with(nspname, 'pg_') and ${isOurs('nspowner')})`,
    `not exists (select from pg_class where relacl is null and oid >= 16384 and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
       and ${isOurs('relowner')})`,
  ]
}

/** As `ensureOwnerLogin` makes it; that the password is right was seen when it connected. */
const loginIsRight = (owners: string, account: string, mustBeJoined: boolean) => `
  select not (r.rolsuper or r.rolcreatedb or r.rolcreaterole or r.rolreplication or r.rolbypassrls)
      and pg_has_role(r.oid, ${quoteLiteral(owners)}::name, 'usage')
      and has_table_privilege(r.oid, 'tenants2fast.schema_migrations', 'select')
      and has_table_privilege(r.oid, 'tenants2fast.schema_migrations', 'insert')
      and has_table_privilege(r.oid, 'tenants2fast.schema_migrations', 'delete')
      -- PostgreSQL makes the account that made it a member. Others are looked at more closely elsewhere.
      and not exists (select from pg_auth_members where roleid = r.oid and member <> ${oidOf(account)})
      and not exists (
        select from pg_db_role_setting s where s.setrole = r.oid and s.setconfig <> array['temp_file_limit=-1'])
      ${mustBeJoined ? `and pg_has_role(${oidOf(account)}, r.oid, 'usage')` : ''}
    from pg_roles r where r.rolname = session_user`
