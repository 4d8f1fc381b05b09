import { createHash } from 'node:crypto'
import { quoteIdentifier, type SqlClient } from '../core/sql.js'
import { applySqlFiles, readSqlFolder, type SqlFile } from '../core/sql-files.js'

const codes = {
  invalid: 'TENANCY_DATABASE_SCHEMA_INVALID',
  failed: 'TENANCY_DATABASE_SCHEMA_FAILED',
  newer: 'TENANCY_DATABASE_SCHEMA_INVALID',
} as const

/** The application's schema: its files, in order. */
export interface TenantSchema {
  readonly files: readonly SqlFile[]
  /** 16 hex digits that change with any file, with the ground below them, and with the installation. */
  readonly version: string
}

/**
 * Reads the folder of numbered SQL files that make up every tenant's schema.
 *
 * @param folder undefined: no files, tenants start empty
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_INVALID
 */
export async function readTenantSchema(folder: string | undefined, installationId: string): Promise<TenantSchema> {
  const files = folder === undefined ? [] : await readSqlFolder(folder, codes)
  const hash = createHash('sha256').update(JSON.stringify([installationId, groundSql('members')]))
  for (const file of files) hash.update(`\n${file.name} ${file.checksum}`)
  return { files, version: hash.digest('hex').slice(0, 16) }
}

/**
 * Lays the ground of an empty database: our own schema, and privileges. A tenant's role reads and writes the data of
 * the application's schemas and uses their sequences, functions and types; it makes no objects but temporary ones, and
 * of ours it reads the identity row alone. Default privileges cover whatever later files make; our own tables come
 * before them and are not covered.
 */
export async function layGround(client: SqlClient, membersRole: string): Promise<void> {
  await client.query(groundSql(quoteIdentifier(membersRole)))
}

const groundSql = (members: string) => `
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
  revoke all on schema tenants2fast from public;
  grant usage on schema tenants2fast to ${members};
  grant select on tenants2fast.identity to ${members};

  revoke all on schema public from public;
  grant usage on schema public to ${members};
  alter default privileges grant select, insert, update, delete on tables to ${members};
  alter default privileges grant usage, select, update on sequences to ${members};
  alter default privileges grant execute on functions to ${members};
  alter default privileges grant usage on types to ${members};
  alter default privileges grant usage on schemas to ${members};
`

/**
 * Applies the schema's files that the database's ledger lacks. The caller holds the database's lock, in the catalog: one
 * in this database would be the tenant's to take. After an error, close the connection.
 *
 * @returns names of the files applied now
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_INVALID
 */
export function applyTenantSchema(client: SqlClient, schema: TenantSchema): Promise<string[]> {
  return applySqlFiles(client, schema.files, { schema: 'tenants2fast', codes })
}
