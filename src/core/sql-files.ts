import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type LockWait, unlock, waitForLock } from './advisory-lock.js'
import { TenancyError, type TenancyErrorCode } from './errors.js'
import { quoteLiteral, type SqlClient } from './sql.js'

/** One numbered SQL file of a folder: `NNNN_name.sql`. */
export interface SqlFile {
  readonly version: number
  /** File name, such as `0001_orders.sql`. */
  readonly name: string
  readonly sql: string
  /** SHA-256 of the text, hexadecimal. Line ends count as `\n`, so that a checkout on Windows is the same file. */
  readonly checksum: string
}

/** The codes that a folder's errors carry. */
export interface SqlFileErrorCodes {
  /** The folder cannot be read, is badly named, or does not fit the ledger. */
  readonly invalid: TenancyErrorCode
  /** PostgreSQL refused a file. */
  readonly failed: TenancyErrorCode
  /** The ledger knows versions that the folder lacks. */
  readonly newer: TenancyErrorCode
}

/**
 * Reads a folder of numbered SQL files, in order. Files of other types are ignored; an `.sql` file that is not named
 * `NNNN_name.sql` is an error.
 *
 * @throws {@link TenancyError} `codes.invalid` naming every problem at once
 */
export async function readSqlFolder(folder: string | URL, codes: SqlFileErrorCodes): Promise<SqlFile[]> {
  const path = typeof folder === 'string' ? folder : fileURLToPath(folder)
  const names = await readdir(path).catch((cause: unknown) => {
    throw new TenancyError(codes.invalid, `The folder of SQL files ${path} cannot be read: check the path`, { cause })
  })
  const sqlNames = names.filter((name) => name.toLowerCase().endsWith('.sql')).toSorted()
  const problems: string[] = []
  const byVersion = new Map<number, string>()
  for (const name of sqlNames) {
    const version = Number(/^(\d{4})_[A-Za-z0-9_-]+\.sql$/.exec(name)?.[1] ?? Number.NaN)
    const twin = byVersion.get(version)
    if (Number.isNaN(version) || version === 0)
      problems.push(`${name} is not named NNNN_name.sql with a number from 0001`)
    else if (twin !== undefined) problems.push(`${twin} and ${name} have the same number`)
    else byVersion.set(version, name)
  }
  if (problems.length > 0) throw new TenancyError(codes.invalid, `SQL files of ${path}: ${problems.join('; ')}`)
  return Promise.all([...byVersion].map(([version, name]) => readSqlFile(path, version, name, codes)))
}

async function readSqlFile(folder: string, version: number, name: string, codes: SqlFileErrorCodes): Promise<SqlFile> {
  let sql: string
  try {
    sql = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(join(folder, name))).replaceAll('\r\n', '\n')
  } catch (cause) {
    throw new TenancyError(codes.invalid, `${name} cannot be read as UTF-8 text`, { cause })
  }
  if (sql.includes('\0')) throw new TenancyError(codes.invalid, `${name} holds a NUL character`)
  return { version, name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}

/** What {@link applySqlFiles} needs to know of a database's ledger. */
export interface SqlLedger {
  /** Schema of the table `schema_migrations`; it exists. */
  readonly schema: string
  /** Advisory lock that keeps two runners apart; undefined: the caller holds one. */
  readonly lock?: LockWait | undefined
  readonly codes: SqlFileErrorCodes
}

interface LedgerRow {
  readonly version: number
  readonly name: string
  readonly checksum: string
}

/**
 * Applies the files that the ledger lacks, in order, each in one transaction with its ledger row; safe when two
 * processes do it at once. `client` is one connection, not a pool, outside of a transaction; after an error it still
 * holds the lock, so close it.
 *
 * @returns the names of the files that were applied now
 * @throws {@link TenancyError} `codes.failed` (file, line and PostgreSQL's message; rolled back), `codes.invalid`
 *   (an applied file was edited, renumbered or removed), `codes.newer`
 */
export async function applySqlFiles(
  client: SqlClient,
  files: readonly SqlFile[],
  ledger: SqlLedger,
): Promise<string[]> {
  const table = `${ledger.schema}.schema_migrations`
  if (ledger.lock) await waitForLock(client, ledger.lock)
  await client.query(
    `create table if not exists ${table} (
       version integer primary key,
       name text not null,
       checksum text not null,
       applied_at timestamptz not null default now()
     )`,
  )
  const { rows } = await client.query<LedgerRow>(`select version, name, checksum from ${table} order by version`)
  const pending = pendingFiles(files, rows, ledger.codes)
  for (const file of pending) await applyFile(client, file, table, ledger.codes)
  if (ledger.lock) await unlock(client, ledger.lock.key)
  return pending.map((file) => file.name)
}

function pendingFiles(files: readonly SqlFile[], applied: readonly LedgerRow[], codes: SqlFileErrorCodes): SqlFile[] {
  const lastFile = files.at(-1)?.version ?? 0
  const lastApplied = applied.at(-1)
  if (lastApplied && lastApplied.version > lastFile) {
    throw new TenancyError(
      codes.newer,
      `${lastApplied.name} was applied to the database, but there is no such file here`,
    )
  }
  const byVersion = new Map(files.map((file) => [file.version, file]))
  for (const row of applied) {
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
  const late = pending.find((file) => file.version < (lastApplied?.version ?? 0))
  if (late) {
    throw new TenancyError(
      codes.invalid,
      `${late.name} comes before ${lastApplied?.name}, which was applied: give it a higher number`,
    )
  }
  return pending
}

async function applyFile(client: SqlClient, file: SqlFile, table: string, codes: SqlFileErrorCodes): Promise<void> {
  await client.query('begin')
  try {
    const before = await currentTransaction(client)
    await client.query(file.sql)
    if ((await currentTransaction(client)) !== before) {
      throw new TenancyError(
        codes.invalid,
        `${file.name} ends its transaction (commit or rollback): remove that statement`,
      )
    }
    await client.query(
      `insert into ${table} (version, name, checksum)
         values (${file.version}, ${quoteLiteral(file.name)}, ${quoteLiteral(file.checksum)})`,
    )
    await client.query('commit')
  } catch (error) {
    // A connection that is gone has rolled back already; the first error is the one that counts.
    await client.query('rollback').catch(() => {})
    if (error instanceof TenancyError) throw error
    throw new TenancyError(codes.failed, `${file.name}${describe(error, file.sql)}`, { cause: error })
  }
}

async function currentTransaction(client: SqlClient): Promise<string | undefined> {
  const { rows } = await client.query<{ id: string }>('select pg_current_xact_id()::text as id')
  return rows[0]?.id
}

/** PostgreSQL's message with the line it points at; never the statement itself. */
function describe(error: unknown, sql: string): string {
  const { message, position } = error as { message?: string; position?: string }
  const reason = message ?? String(error)
  if (position === undefined) return `: ${reason}`
  // PostgreSQL counts characters, not UTF-16 units.
  const lines = Array.from(sql)
    .slice(0, Number(position) - 1)
    .join('')
    .split('\n')
  return `, line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}: ${reason}`
}
