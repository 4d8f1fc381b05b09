import { createHash } from 'node:crypto'
import { type LockWait, unlock, waitForLock } from './advisory-lock.js'
import type { AppliedFiles } from '../core/tenants/tenant-databases.js'
import { TenancyError } from '../core/errors/errors.js'
import type { LockBlocker } from './lock-blockers.js'
import type { SqlClient } from '../core/sql-client.js'
import { quoteLiteral } from './quote.js'
import { applySqlFile, type FileTransaction } from './sql-file-run.js'
import type { SqlFile, SqlFileErrorCodes } from './sql-folder.js'

export { readSqlFolder, type SqlFile, type SqlFileErrorCodes } from './sql-folder.js'

/** Options of {@link applySqlFiles}. */
export interface SqlLedger {
  /** Schema of the table `schema_migrations`; it exists. */
  readonly schema: string
  /** Advisory lock against a second runner; undefined: the caller holds one. */
  readonly lock?: LockWait | undefined
  readonly codes: SqlFileErrorCodes
  /** Longest wait of a statement for a lock, milliseconds; then its file is rolled back and tried again. Default: 2000. */
  readonly lockTimeoutMs?: number
  /** Most attempts for a file that waits for locks. Default: 8. */
  readonly maxAttempts?: number
  /** Runs in the transaction of each file, before it. */
  readonly prepare?: (client: SqlClient, file: FileTransaction) => Promise<unknown>
  /** Runs in the transaction of each file, after its statements. */
  readonly finish?: (client: SqlClient, file: FileTransaction) => Promise<unknown>
  /** Finds the sessions that a backend waits for; called while a file runs, on another connection. Default: not looked for. */
  readonly findBlockers?: (pid: number) => Promise<readonly LockBlocker[]>
  /** Throws when these files must not run on a database with such a ledger. Called under the lock, before anything runs. */
  readonly checkApplied?: (applied: readonly AppliedFile[]) => Promise<void>
  /** Receives the state of the ledger after the last file, under the lock. */
  readonly record?: (state: AppliedFiles) => Promise<unknown>
}

/** A file that was applied to a database, as its ledger has it. */
export interface AppliedFile {
  readonly version: number
  readonly name: string
  readonly checksum: string
}

/**
 * Applies the files that the ledger lacks, in order, each in one transaction with its ledger row; safe when two
 * processes do it at once. Each file finds the session as it was opened, whatever the one before has set. `client` is one
 * connection, not a pool, outside of a transaction; after an error it may still hold the lock, so close it.
 *
 * @returns the names of the files that were applied now
 * @throws {@link TenancyError} `codes.failed` (file, line and PostgreSQL's message; rolled back), `codes.blocked`,
 *   `codes.invalid` (an applied file was edited, renumbered or removed), and what `checkApplied` throws
 */
export async function applySqlFiles(
  client: SqlClient,
  files: readonly SqlFile[],
  ledger: SqlLedger,
): Promise<string[]> {
  const table = `${ledger.schema}.schema_migrations`
  if (ledger.lock) await waitForLock(client, ledger.lock)
  if (!(await hasLedger(client, table))) {
    await client.query(
      `create table if not exists ${table} (
         version integer primary key,
         name text not null,
         checksum text not null,
         applied_at timestamptz not null default now()
       )`,
    )
  }
  const applied = await readLedger(client, table)
  await ledger.checkApplied?.(applied)
  const pending = pendingFiles(files, applied, ledger.codes)
  if (pending.some(({ version }) => version > maxInteger)) await widenVersions(client, ledger.schema)
  for (const file of pending) await applySqlFile(client, file, ledgerInsert(table, file), ledger)
  await ledger.record?.(describeLedger([...applied, ...pending]))
  if (ledger.lock) await unlock(client, ledger.lock.key)
  return pending.map((file) => file.name)
}

/** Reads the ledger of a database; one without a ledger has no files. */
export async function readAppliedFiles(client: SqlClient, schema: string): Promise<AppliedFiles> {
  const table = `${schema}.schema_migrations`
  return describeLedger((await hasLedger(client, table)) ? await readLedger(client, table) : [])
}

async function hasLedger(client: SqlClient, table: string): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>(
    `select pg_catalog.to_regclass(${quoteLiteral(table)}) is not null as found`,
  )
  return rows[0]?.found === true
}

/** Describes the ledger after these files. */
export function describeLedger(files: readonly AppliedFile[]): AppliedFiles {
  const hash = createHash('sha256')
  for (const { name, checksum } of files) hash.update(`\n${name} ${checksum}`)
  return { version: files.at(-1)?.version ?? -1, fingerprint: hash.digest('hex').slice(0, 16) }
}

async function readLedger(client: SqlClient, table: string): Promise<AppliedFile[]> {
  // As text: the format of a float8 depends on a setting that a database may have.
  const { rows } = await client.query<Omit<AppliedFile, 'version'> & { readonly number: string }>(
    `select version::pg_catalog.text as number, name, checksum from ${table} order by version`,
  )
  return rows.map(({ number, name, checksum }) => ({ version: Number(number), name, checksum }))
}

function ledgerInsert(table: string, { version, name, checksum }: SqlFile): string {
  return `insert into ${table} (version, name, checksum)
    values (${version}, ${quoteLiteral(name)}, ${quoteLiteral(checksum)})`
}

const maxInteger = 2_147_483_647

/**
 * Makes room for numbers of up to 14 digits, but only if a folder has them: processes of an earlier release of this package
 * read the ledger, too, and know short ones only.
 */
async function widenVersions(client: SqlClient, schema: string): Promise<void> {
  const { rowCount } = await client.query(
    `select from pg_catalog.pg_attribute where attrelid = pg_catalog.to_regclass($1) and attname = 'version'
       and atttypid = 'pg_catalog.int4'::pg_catalog.regtype`,
    [`${schema}.schema_migrations`],
  )
  if (rowCount === 0) return
  await client.query(`alter table ${schema}.schema_migrations alter column version type pg_catalog.int8`)
}

function pendingFiles(files: readonly SqlFile[], applied: readonly AppliedFile[], codes: SqlFileErrorCodes): SqlFile[] {
  const lastFile = files.at(-1)?.version ?? -1
  const lastApplied = applied.at(-1)
  const byVersion = new Map(files.map((file) => [file.version, file]))
  for (const row of applied) {
    // Files that a newer release has added are its own concern.
    if (row.version > lastFile) continue
    const file = byVersion.get(row.version)
    if (file?.name !== row.name) {
      throw new TenancyError(
        codes.invalid,
        `${row.name} was applied to the database and then removed or renamed: restore it`,
      )
    }
    if (file.checksum !== row.checksum) {
      throw new TenancyError(
        codes.invalid,
        `${row.name} was edited after it was applied: restore it and add a new file`,
      )
    }
  }
  const pending = files.filter((file) => !applied.some((row) => row.version === file.version))
  const late = pending.find((file) => file.version < (lastApplied?.version ?? -1))
  if (late) {
    throw new TenancyError(
      codes.invalid,
      `${late.name} comes before ${lastApplied?.name}, which was applied: give it a higher number`,
    )
  }
  return pending
}
