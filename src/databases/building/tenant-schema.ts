import { createHash } from 'node:crypto'
import type { LockBlocker } from '../../postgres/lock-blockers.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { Migration, MigrationTenant, SchemaSource } from '../../core/tenants/migration.js'
import { applySqlFiles, describeLedger, revertSqlFiles, type SqlLedger } from '../../postgres/files/sql-files.js'
import type { ToolLedger } from '../../postgres/files/tool-ledger.js'
import type { MigrationSet } from '../../schema/migration-set.js'
import { readMigrations } from '../../schema/read-migrations.js'
import type { AppliedFiles } from '../../core/tenants/tenant-databases.js'
import { setDatabaseSettingSql } from '../owner/base-schema.js'
import { createOwnerHooks, explainRights, type OwnerSession } from '../owner/owner-session.js'
import { type GroupRoles, groupPrivileges } from './tenant-privileges.js'

const codes = {
  invalid: 'TENANCY_DATABASE_SCHEMA_INVALID',
  failed: 'TENANCY_DATABASE_SCHEMA_FAILED',
  blocked: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
  disagreement: 'TENANCY_DATABASE_SCHEMA_DISAGREES',
} as const

/** Schema that holds the ledger of a tenant database. */
export const ledgerSchema = 'tenants2fast'

/** The application's schema: its migrations, in order. */
export interface TenantSchema {
  readonly kind: MigrationSet['kind']
  readonly files: readonly Migration[]
  /** The list that the tool of the folder keeps in each database. */
  readonly tool?: ToolLedger | undefined
  /** 16 hex digits that change with any file, with our own base schema, and with the installation. */
  readonly version: string
  /** The ledger of a database that has exactly these files. */
  readonly latest: AppliedFiles
}

/**
 * Reads the migrations that make up every tenant's schema.
 *
 * @param source a folder's path: of which kind, is detected; undefined: no migrations, tenants start empty
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_INVALID, TENANCY_CONFIG_PEER_MISSING
 */
export async function readTenantSchema(
  source: SchemaSource | string | undefined,
  installationId: string,
): Promise<TenantSchema> {
  const given = typeof source === 'string' ? { dir: source } : (source ?? { migrations: [] })
  const { kind, migrations: files, tool } = await readMigrations(given, codes)
  const hash = createHash('sha256').update(
    JSON.stringify([installationId, baseSchemaSql({ members: 'members', owners: 'owners' })]),
  )
  for (const file of files) hash.update(`\n${file.name} ${file.checksum}`)
  if (tool) hash.update(`\n${kind} ${tool.table}`)
  return { kind, files, tool, version: hash.digest('hex').slice(0, 16), latest: describeLedger(files) }
}

/**
 * Creates our own schema and the privileges of tenants in an empty database. A tenant's role can make temporary objects
 * only. Our own tables come before the default privileges, which therefore do not cover them.
 */
export async function createBaseSchema(client: SqlClient, groups: GroupRoles): Promise<void> {
  await client.query(baseSchemaSql(groups))
}

const baseSchemaSql = (groups: GroupRoles) => `
  create schema tenants2fast;
  -- One row, written once by us, read first thing by every connection: each constraint here would cost all of them a look
  -- into the catalogs, and a row that is missing, doubled or null is refused all the same.
  create table tenants2fast.identity (database_id uuid, epoch integer);
  create table tenants2fast.schema_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
  );
  ${setDatabaseSettingSql(groups.owners)};
  ${groupPrivileges(groups)};
`

/** Options of {@link applyTenantSchema}. */
export interface ApplySchemaOptions
  extends Pick<SqlLedger, 'applied' | 'isFresh' | 'maxAttempts' | 'statementTimeoutMs'>, GroupRoles {
  /** Opens a connection of the database's owner login, which the files run on; `client` is not used afterwards. */
  readonly withOwner: (work: (client: SqlClient) => Promise<void>) => Promise<void>
  /** Longest wait of a statement for a lock. Default: 2000. */
  readonly lockTimeoutMs?: number | undefined
  /** Finds the sessions that a backend waits for. Default: none are named. */
  readonly findBlockers?: (pid: number) => Promise<readonly LockBlocker[]>
  /** The tenant, for migrations that are functions. Default: none, the template. */
  readonly tenant?: MigrationTenant | undefined
  /** Of the owner login. Default: a new one. */
  readonly session?: OwnerSession | undefined
  /** Watches each file, in its transaction where it has one. Default: nobody does. */
  readonly observer?: Hooks | undefined
  /** Called with the new state of the ledger, before another process can change it. */
  readonly record?: (state: AppliedFiles) => Promise<unknown>
}

/**
 * Applies the schema's files that the database's ledger lacks, as the owner of the application's objects. A database that a newer release has migrated further is left
 * as it is. The caller holds the database's lock, which is in the catalog: a lock in this database could be taken by the
 * tenant. After an error, close the connection.
 *
 * @returns names of the files applied now
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED,
 *   TENANCY_DATABASE_SCHEMA_INVALID, TENANCY_DATABASE_SCHEMA_DISAGREES
 */
export async function applyTenantSchema(
  client: SqlClient,
  schema: TenantSchema,
  options: ApplySchemaOptions,
): Promise<string[]> {
  try {
    return await applySqlFiles(client, schema.files, ledgerOf(schema, options))
  } catch (error) {
    throw explainRights(error)
  }
}

/**
 * Reverts the files after that version, the newest first. The caller holds the database's lock. After an error, close the
 * connection.
 *
 * @returns names of the files reverted now
 * @throws {@link TenancyError} as {@link applyTenantSchema}, TENANCY_DATABASE_SCHEMA_IRREVERSIBLE
 */
export async function revertTenantSchema(
  client: SqlClient,
  schema: TenantSchema,
  to: number,
  options: ApplySchemaOptions,
): Promise<string[]> {
  const irreversible = 'TENANCY_DATABASE_SCHEMA_IRREVERSIBLE'
  try {
    return await revertSqlFiles(client, schema.files, { to, irreversible }, ledgerOf(schema, options))
  } catch (error) {
    throw explainRights(error)
  }
}

function ledgerOf(
  { tool }: TenantSchema,
  {
    members,
    owners,
    withOwner,
    lockTimeoutMs = 2000,
    findBlockers,
    record,
    observer,
    session = createOwnerHooks({ members, owners }).session,
    ...limits
  }: ApplySchemaOptions,
): SqlLedger {
  return {
    schema: ledgerSchema,
    ...{ codes, tool, members, lockTimeoutMs },
    ...limits,
    ...(observer && { prepare: observer.prepare, finish: observer.finish }),
    session,
    withFileClient: withOwner,
    ...(findBlockers && { findBlockers }),
    ...(record && { record }),
  }
}

type Hooks = Required<Pick<SqlLedger, 'prepare' | 'finish'>>
