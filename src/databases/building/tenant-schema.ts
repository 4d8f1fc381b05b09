import { createHash } from 'node:crypto'
import type { LockBlocker } from '../../postgres/lock-blockers.js'
import type { SqlClient } from '../../core/sql-client.js'
import { applySqlFiles, describeLedger, readSqlFolder, type SqlFile, type SqlLedger } from '../../postgres/sql-files.js'
import type { AppliedFiles } from '../../core/tenants/tenant-databases.js'
import { defaultPrivileges, groupPrivileges } from './tenant-privileges.js'

const codes = {
  invalid: 'TENANCY_DATABASE_SCHEMA_INVALID',
  failed: 'TENANCY_DATABASE_SCHEMA_FAILED',
  blocked: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
  // During a deployment, processes of two releases serve the same databases.
} as const

/** Schema that holds the ledger of a tenant database. */
export const ledgerSchema = 'tenants2fast'

/** The application's schema: its files, in order. */
export interface TenantSchema {
  readonly files: readonly SqlFile[]
  /** 16 hex digits that change with any file, with our own base schema, and with the installation. */
  readonly version: string
  /** The ledger of a database that has exactly these files. */
  readonly latest: AppliedFiles
}

/**
 * Reads the folder of numbered SQL files that make up every tenant's schema.
 *
 * @param folder undefined: no files, tenants start empty
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_INVALID
 */
export async function readTenantSchema(folder: string | undefined, installationId: string): Promise<TenantSchema> {
  const files = folder === undefined ? [] : await readSqlFolder(folder, codes)
  const hash = createHash('sha256').update(JSON.stringify([installationId, baseSchemaSql('members')]))
  for (const file of files) hash.update(`\n${file.name} ${file.checksum}`)
  return { files, version: hash.digest('hex').slice(0, 16), latest: describeLedger(files) }
}

/**
 * Creates our own schema and the privileges of tenants in an empty database. A tenant's role can make temporary objects
 * only. Our own tables come before the default privileges, which therefore do not cover them.
 */
export async function createBaseSchema(client: SqlClient, membersRole: string): Promise<void> {
  await client.query(baseSchemaSql(membersRole))
}

const baseSchemaSql = (membersRole: string) => `
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
  ${groupPrivileges(membersRole)};
`

/** Options of {@link applyTenantSchema}. */
export interface ApplySchemaOptions extends Pick<SqlLedger, 'maxAttempts'> {
  /** Watches each file, in its transaction. Default: nobody does. */
  readonly observer?: Required<Pick<SqlLedger, 'prepare' | 'finish'>> | undefined
  /** The group role. */
  readonly members: string
  /** Longest wait of a statement for a lock. Default: 2000. */
  readonly lockTimeoutMs?: number | undefined
  /** Finds the sessions that a backend waits for. Default: none are named. */
  readonly findBlockers?: (pid: number) => Promise<readonly LockBlocker[]>
  /** Called with the new state of the ledger, before another process can change it. */
  readonly record?: (state: AppliedFiles) => Promise<unknown>
}

/**
 * Applies the schema's files that the database's ledger lacks. A database that a newer release has migrated further is left
 * as it is. The caller holds the database's lock, which is in the catalog: a lock in this database could be taken by the
 * tenant. After an error, close the connection.
 *
 * @returns names of the files applied now
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED,
 *   TENANCY_DATABASE_SCHEMA_INVALID
 */
export function applyTenantSchema(
  client: SqlClient,
  schema: TenantSchema,
  { members, lockTimeoutMs = 2000, findBlockers, record, observer, ...limits }: ApplySchemaOptions,
): Promise<string[]> {
  return applySqlFiles(client, schema.files, {
    schema: ledgerSchema,
    codes,
    lockTimeoutMs,
    ...limits,
    // In the same transaction: the tenant cannot drop them before the file has made its tables.
    prepare: async (transaction, file) => {
      await transaction.query(defaultPrivileges(members))
      await observer?.prepare(transaction, file)
    },
    ...(observer && { finish: observer.finish }),
    ...(findBlockers && { findBlockers }),
    ...(record && { record }),
  })
}
