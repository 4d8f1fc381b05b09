import type { Client } from 'pg'
import { v7 as uuidv7 } from 'uuid'
import type { AdoptDatabaseInput, AdoptedDatabase } from '../../core/backup/adopt.js'
import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import { migrationVersion } from '../../core/tenants/migration.js'
import type { AppliedFiles } from '../../core/tenants/tenant-databases.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { readAppliedFiles } from '../../postgres/files/sql-files.js'
import type { BuilderOptions } from '../building/database-builder.js'
import { databasePrivileges, membership } from '../building/tenant-privileges.js'
import { createBaseSchema, ledgerSchema, type TenantSchema } from '../building/tenant-schema.js'
import { isApplicationSchema } from '../copying/relations.js'
import { schemaUpTo } from '../copying/new-database.js'
import { givenObjects } from '../owner/given-objects.js'
import { databaseComment } from '../ownership.js'
import { withConnectionInside } from '../server/admin-connection.js'
import { deriveRolePassword, scramVerifier } from '../server/role-password.js'

const refused = (problem: string, cause?: unknown) =>
  new TenancyError(
    'TENANCY_DATABASE_ADOPT_REFUSED',
    `The database is not adopted: ${problem}`,
    cause === undefined ? {} : { cause },
  )

type Adopting = Pick<AdoptDatabaseInput, 'database' | 'schema' | 'installation'>

/**
 * Prepares a database for a tenant: our own schema, identity row, ledger, owners and privileges, in one transaction inside of
 * it. Whoever is interrupted starts again: the id in the identity row is taken then. Name and role follow in the transaction that
 * makes the tenant, so that the catalog never has a row for a database that is not its own, and the reconciler nothing to drop.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_ADOPT_REFUSED
 */
export async function prepareAdoption(
  options: BuilderOptions,
  { schema, templateVersion }: { readonly schema: TenantSchema; readonly templateVersion: string },
  input: Adopting,
): Promise<AdoptedDatabase> {
  const { server, serverId, names } = options
  const { database } = input
  await refuseForeign(options, input)
  try {
    const prepared = await withConnectionInside({ ...server, database }, async (client) => {
      await client.query('begin')
      await refuseCatalog(client, database)
      const identity = await readIdentity(client)
      const id = identity?.id ?? uuidv7()
      if ((await options.records.find(id)) !== undefined) {
        throw refused(
          `its identity row says ${id}, which is a database of the catalog already: it may be a copy of that`,
        )
      }
      if (identity === undefined) await createBaseSchema(client, names)
      await client.query('set local search_path = pg_catalog')
      await giveObjects(client, options)
      // What the tool that made its schema (drizzle-kit, Prisma, Kysely) has applied is not for tenants' roles to say.
      if (schema.tool) await client.query(schema.tool.keepFrom(names.members))
      if (identity?.id === undefined) {
        await client.query('insert into tenants2fast.identity (database_id, epoch) values ($1, 1)', [id])
      }
      const applied = await recordLedger(client, schema, input)
      await client.query('commit')
      return { id, epoch: identity?.epoch ?? 1, schema: applied }
    })
    const name = names.tenantDatabase(prepared.id)
    return {
      ...{ ...prepared, serverId, name, templateVersion, currentName: database },
      takeOver: (transaction) => takeOver(transaction, options, prepared.id, database),
    }
  } catch (error) {
    if (findTenancyError(error)) throw error
    throw refused(error instanceof Error ? error.message : String(error), error)
  }
}

async function refuseForeign(
  { admin, server, names, records, serverId, installationId }: BuilderOptions,
  { database, installation }: Adopting,
): Promise<void> {
  const { rows } = await admin.query<{ isTemplate: boolean; isOpen: boolean; isUsed: boolean; comment: string | null }>(
    `select exists (select from pg_stat_activity where datname = $1) as "isUsed", datistemplate as "isTemplate", datallowconn and datconnlimit <> -2 as "isOpen",
       shobj_description(oid, 'pg_database') as comment
     from pg_database where datname = $1`,
    [database],
  )
  const [found] = rows
  if (found === undefined) throw refused(`there is no database ${JSON.stringify(database)} on the server`)
  if (database === 'postgres' || found.isTemplate || /^template[01]$/.test(database)) {
    throw refused(`${database} belongs to the system, or is a template`)
  }
  if (database === server.database) throw refused(`${database} is the catalog`)
  if (database.startsWith(names.templatePrefix)) throw refused(`${database} is a template of this installation`)
  // Asked again when it is renamed, which takes that nobody is connected; but by then its objects have another owner.
  if (found.isUsed) throw refused(`${database} is in use: end its sessions`)
  if (!found.isOpen) throw refused(`${database} takes no connections`)
  const owner = /^tenants2fast (?:database|template) of installation (.+)$/.exec(found.comment ?? '')?.[1]
  if (owner !== undefined && owner !== installationId && owner !== installation) {
    throw refused(`${database} belongs to the installation ${owner}: if that is gone, pass installation: '${owner}'`)
  }
  if ((await records.list(serverId)).some(({ name }) => name === database)) {
    throw refused(`${database} is in the catalog already`)
  }
}

/** The catalog of another installation has no comment that names it, and is in use only while that installation runs. */
async function refuseCatalog(client: Client, database: string): Promise<void> {
  const tables = ['tenant_databases', 'database_servers', 'installation', 'audit_chains']
  const { rows } = await client.query<{ count: number }>(
    `select pg_catalog.count(*)::pg_catalog.int4 as count from pg_catalog.pg_class
      where relnamespace = pg_catalog.to_regnamespace('public') and relname = any ($1::pg_catalog.name[])`,
    [tables],
  )
  if (rows[0]?.count === tables.length) throw refused(`${database} is the catalog of an installation`)
}

/** Undefined: the database has not our schema. Without an id: an adoption was interrupted. */
async function readIdentity(
  client: Client,
): Promise<{ id: string | undefined; epoch: number | undefined } | undefined> {
  const { rows: schemas } = await client.query<{ schema: boolean; identity: boolean; ledger: boolean }>(
    `select pg_catalog.to_regnamespace('tenants2fast') is not null as schema,
       pg_catalog.to_regclass('tenants2fast.identity') is not null as identity,
       pg_catalog.to_regclass('tenants2fast.schema_migrations') is not null as ledger`,
  )
  const [has] = schemas
  if (has?.schema !== true) return undefined
  if (!has.identity || !has.ledger) throw refused('it has a schema tenants2fast that is not ours')
  await refuseForgedSchema(client)
  const { rows } = await client.query<{ id: string | null; epoch: number | null }>(
    'select database_id as id, epoch from tenants2fast.identity',
  )
  if (rows.length > 1) throw refused('it has several identity rows')
  const [row] = rows
  if (row === undefined) return { id: undefined, epoch: undefined }
  if (row.id === null || row.epoch === null) throw refused('its identity row is empty')
  return { id: row.id, epoch: row.epoch }
}

/**
 * Refuses a schema `tenants2fast` that another account could have made or can still change: to read a view of theirs, or to insert
 * into a table with triggers of theirs, would run their code with the rights of this account.
 */
async function refuseForgedSchema(client: Client): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `with ours (oid) as (
       select oid from pg_catalog.pg_roles where rolname = current_user or rolsuper
     ), found (name, owner, is_expected) as (
       select 'schema', nspowner, true from pg_catalog.pg_namespace where nspname = 'tenants2fast'
       union all
       select relname::pg_catalog.text, relowner,
              case when relname in ('identity', 'schema_migrations') then relkind = 'r' else true end
                and not relhasrules and not relhastriggers and not relrowsecurity
         from pg_catalog.pg_class where relnamespace = pg_catalog.to_regnamespace('tenants2fast')
       union all
       select proname::pg_catalog.text, proowner, true
         from pg_catalog.pg_proc where pronamespace = pg_catalog.to_regnamespace('tenants2fast')
     )
     select name from found where not is_expected or owner not in (select oid from ours) limit 1`,
  )
  const [found] = rows
  if (found !== undefined) {
    throw refused(
      `its schema tenants2fast is not ours: another account can change it (${found.name}). Rename or drop that schema first`,
    )
  }
}

/** Gives the application's objects, whoever owned them, to the group of owners, and their privileges to the tenants' group. */
async function giveObjects(client: Client, { names }: BuilderOptions): Promise<void> {
  const { rows: owners } = await client.query<{ owner: string }>(
    `select distinct pg_catalog.pg_get_userbyid(owner)::pg_catalog.text as owner from (
       select relowner as owner, relnamespace as ns from pg_catalog.pg_class
       union all select proowner, pronamespace from pg_catalog.pg_proc
       union all select typowner, typnamespace from pg_catalog.pg_type
       union all select nspowner, oid from pg_catalog.pg_namespace
     ) as objects join pg_catalog.pg_namespace n on n.oid = ns
     where ${isApplicationSchema('n.nspname')} and n.nspname <> 'pg_toast'`,
  )
  for (const { owner } of owners) {
    if (owner === names.owners || owner === 'pg_database_owner') continue
    await client.query(givenObjects(names.owners, `to_regrole(quote_ident(${quoteLiteral(owner)}))`))
  }
  const { rows: schemas } = await client.query<{ name: string }>(
    `select nspname as name from pg_catalog.pg_namespace n where ${isApplicationSchema('nspname')}
       and not exists (select from pg_catalog.pg_depend where classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
         and objid = n.oid and deptype = 'e')`,
  )
  const members = quoteIdentifier(names.members)
  for (const { name } of schemas) {
    const schema = quoteIdentifier(name)
    await client.query(
      `grant usage on schema ${schema} to ${members};
       grant select, insert, update, delete on all tables in schema ${schema} to ${members};
       grant usage, select, update on all sequences in schema ${schema} to ${members};
       grant execute on all routines in schema ${schema} to ${members}`,
    )
  }
  // Types of tables and arrays have no privileges of their own. There is no GRANT for all types of a schema.
  const { rows: types } = await client.query<{ name: string }>(
    `select pg_catalog.format('%I.%I', nspname, typname) as name
     from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = typnamespace
     where ${isApplicationSchema('nspname')} and typtype in ('b', 'c', 'd', 'e', 'r')
       and not exists (select from pg_catalog.pg_type where typarray = t.oid)
       and (typrelid = 0 or exists (select from pg_catalog.pg_class c where c.oid = typrelid and c.relkind = 'c'))
       and not exists (select from pg_catalog.pg_depend where classid = 'pg_catalog.pg_type'::pg_catalog.regclass
         and objid = t.oid and deptype = 'e')`,
  )
  if (types.length > 0) {
    await client.query(`grant usage on type ${types.map(({ name }) => name).join(', ')} to ${members}`)
  }
}

async function recordLedger(client: Client, schema: TenantSchema, { schema: wanted }: Adopting): Promise<AppliedFiles> {
  const applied = await readAppliedFiles(client, ledgerSchema)
  if (applied.version >= 0) {
    const known = schemaUpTo(schema, applied.version).latest
    const last = schema.files.findLast(({ version }) => version <= applied.version)
    if (wanted !== undefined && wanted !== last?.name) {
      throw refused(`its ledger ends with number ${applied.version}, not with ${wanted ?? 'none'}`)
    }
    if (applied.version <= schema.latest.version && known.fingerprint !== applied.fingerprint) {
      throw refused('its ledger has other schema files than this release')
    }
    return applied
  }
  if (wanted === null || (wanted === undefined && schema.files.length === 0)) return applied
  if (wanted === undefined)
    throw refused('it has no ledger: say by `schema` (--schema) which is the last file that it has, or null (none)')
  const last = migrationVersion(schema.files, wanted)
  const end = schema.files.findIndex((file) => file.version === last)
  if (end < 0) throw refused(`there is no schema file ${JSON.stringify(wanted)}`)
  const files = schema.files.slice(0, end + 1)
  // Numbers that are times do not fit the type with which the table is made.
  if (files.some((file) => file.version > 0x7fffffff)) {
    await client.query('alter table tenants2fast.schema_migrations alter column version type bigint')
  }
  for (const { version, name, checksum } of files) {
    await client.query('insert into tenants2fast.schema_migrations (version, name, checksum) values ($1, $2, $3)', [
      ...[version, name, checksum],
    ])
  }
  return schemaUpTo(schema, files.at(-1)?.version ?? -1).latest
}

/** Statements of the catalog's transaction, on the same server: all or none. */
async function takeOver(
  transaction: Parameters<AdoptedDatabase['takeOver']>[0],
  { names, secret, installationId, roleConnectionLimit = -1 }: BuilderOptions,
  id: string,
  currentName: string,
): Promise<void> {
  const name = names.tenantDatabase(id)
  const role = quoteIdentifier(name)
  const comment = quoteLiteral(databaseComment(installationId))
  const verifier = quoteLiteral(scramVerifier(deriveRolePassword(secret, id)))
  const { rowCount } = await transaction.query('select from pg_roles where rolname = $1', [name])
  const { rows: others } = await transaction.query<{ name: string }>(
    `select distinct quote_ident(pg_get_userbyid(grantee)) as name from pg_database, aclexplode(datacl)
     where datname = $1 and grantee <> 0 and grantee <> datdba and grantee <> coalesce(to_regrole(quote_ident(current_user)), 0)`,
    [currentName],
  )
  const statements = [
    `${rowCount === 0 ? 'create' : 'alter'} role ${role} login inherit nocreatedb nocreaterole
       connection limit ${roleConnectionLimit} password ${verifier}`,
    membership(name, names.members),
    `comment on role ${role} is ${comment}`,
    `alter database ${quoteIdentifier(currentName)} owner to current_user`,
    ...others.map((other) => `revoke all on database ${quoteIdentifier(currentName)} from ${other.name}`),
    ...(name === currentName ? [] : [`alter database ${quoteIdentifier(currentName)} rename to ${role}`]),
    `comment on database ${role} is ${comment}`,
    ...databasePrivileges(name, name, names).split(';'),
  ]
  try {
    // One by one: the transaction takes single statements.
    for (const statement of statements) await transaction.query(statement)
  } catch (cause) {
    if (!hasSqlState(cause, sqlStates.objectInUse)) throw cause
    throw refused(`${currentName} is in use: end its sessions, and prepared transactions`, cause)
  }
}
