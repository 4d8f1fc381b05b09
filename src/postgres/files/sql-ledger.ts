import { createHash } from 'node:crypto'
import type { AppliedFiles } from '../../core/tenants/tenant-databases.js'
import type { Migration } from '../../core/tenants/migration.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteLiteral } from '../text/quote.js'

/** A file that was applied to a database, as its ledger has it. */
export interface AppliedFile {
  readonly version: number
  readonly name: string
  readonly checksum: string
}

const tableOf = (schema: string) => `${schema}.schema_migrations`

/** Reads the ledger of a database; one without a ledger has no files. */
export async function readAppliedFiles(client: SqlClient, schema: string): Promise<AppliedFiles> {
  return describeLedger(await readLedger(client, schema))
}

/** Describes the ledger after these files. */
export function describeLedger(files: readonly AppliedFile[]): AppliedFiles {
  const hash = createHash('sha256')
  for (const { name, checksum } of files) hash.update(`\n${name} ${checksum}`)
  return { version: files.at(-1)?.version ?? -1, fingerprint: hash.digest('hex').slice(0, 16) }
}

/** Reads the ledger; makes its table, if it is missing. */
export async function openLedger(client: SqlClient, schema: string): Promise<AppliedFile[]> {
  if (await hasLedger(client, schema)) return readRows(client, schema)
  await client.query(
    `create table if not exists ${tableOf(schema)} (
       version integer primary key,
       name text not null,
       checksum text not null,
       applied_at timestamptz not null default now()
     )`,
  )
  return readRows(client, schema)
}

/** Reads the ledger; a database without one has no files. */
export async function readLedger(client: SqlClient, schema: string): Promise<AppliedFile[]> {
  return (await hasLedger(client, schema)) ? readRows(client, schema) : []
}

async function hasLedger(client: SqlClient, schema: string): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>(
    `select pg_catalog.to_regclass(${quoteLiteral(tableOf(schema))}) is not null as found`,
  )
  return rows[0]?.found === true
}

async function readRows(client: SqlClient, schema: string): Promise<AppliedFile[]> {
  // As text: the format of a float8 depends on a setting that a database may have.
  const { rows } = await client.query<Omit<AppliedFile, 'version'> & { readonly number: string }>(
    `select version::pg_catalog.text as number, name, checksum from ${tableOf(schema)} order by version`,
  )
  return rows.map(({ number, name, checksum }) => ({ version: Number(number), name, checksum }))
}

/** SQL that adds files to the ledger; at least one. */
export function ledgerInsert(schema: string, files: readonly AppliedFile[]): string {
  const rows = files.map(
    ({ version, name, checksum }) => `(${version}, ${quoteLiteral(name)}, ${quoteLiteral(checksum)})`,
  )
  return `insert into ${tableOf(schema)} (version, name, checksum) values ${rows.join(', ')}`
}

/** SQL that takes a file out of the ledger. */
export function ledgerDelete(schema: string, version: number): string {
  return `delete from ${tableOf(schema)} where version = ${version}`
}

/**
 * SQL that gives the row of a file the file's checksum, and leaves the rest of it; it changes one row, or none if the row has that
 * checksum or another name. An account that may insert and delete can run it.
 */
export function ledgerAccept(schema: string, { version, name, checksum }: AppliedFile): string {
  const row = `version = ${version} and name = ${quoteLiteral(name)} and checksum <> ${quoteLiteral(checksum)}`
  return `with gone as (delete from ${tableOf(schema)} where ${row} returning version, name, applied_at)
    insert into ${tableOf(schema)} (version, name, checksum, applied_at)
    select version, name, ${quoteLiteral(checksum)}, applied_at from gone`
}

/** Largest number that the ledger has room for as it is made. */
export const maxInteger = 2_147_483_647

/**
 * Makes room for numbers of up to 14 digits, but only if a folder has them: processes of an earlier release of this package
 * read the ledger, too, and know short ones only.
 */
export async function makeRoom(client: SqlClient, schema: string, files: readonly AppliedFile[]): Promise<void> {
  if (!files.some(({ version }) => version > maxInteger)) return
  const { rowCount } = await client.query(
    `select from pg_catalog.pg_attribute where attrelid = pg_catalog.to_regclass($1) and attname = 'version'
       and atttypid = 'pg_catalog.int4'::pg_catalog.regtype`,
    [tableOf(schema)],
  )
  if (rowCount === 0) return
  await client.query(`alter table ${tableOf(schema)} alter column version type pg_catalog.int8`)
}

/** What a folder has on top of a ledger; or why it does not fit it. */
export type Pending = { readonly pending: readonly Migration[] } | { readonly problem: string }

/** Compares a folder with the ledger of a database. */
export function pendingFiles(files: readonly Migration[], applied: readonly AppliedFile[]): Pending {
  const lastFile = files.at(-1)?.version ?? -1
  const lastApplied = applied.at(-1)
  const byVersion = new Map(files.map((file) => [file.version, file]))
  for (const row of applied) {
    // Files that a newer release has added are its own concern.
    if (row.version > lastFile) continue
    const file = byVersion.get(row.version)
    if (file?.name !== row.name) return { problem: whyOtherName(files, applied, row) }
    if (file.checksum !== row.checksum) {
      return {
        problem: `${row.name} was edited after it was applied: restore it and add a new file, or accept the new text (migrate accept)`,
      }
    }
  }
  const versions = new Set(applied.map(({ version }) => version))
  const pending = files.filter(({ version }) => !versions.has(version))
  const late = pending.find((file) => file.version < (lastApplied?.version ?? -1))
  if (late === undefined) return { pending }
  return { problem: `${late.name} comes before ${lastApplied?.name}, which was applied: give it a higher number` }
}

function whyOtherName(files: readonly Migration[], applied: readonly AppliedFile[], row: AppliedFile): string {
  const moved = files.find(({ name }) => name === row.name)
  if (moved === undefined) return `${row.name} was applied to the database and then removed or renamed: restore it`
  const names = new Set(applied.map(({ name }) => name))
  const inserted = files.find((file) => file.version < moved.version && !names.has(file.name))
  if (inserted) return `${inserted.name} comes before ${row.name}, which was applied: move it to the end`
  return `${row.name} was applied as number ${row.version} and is number ${moved.version} now: restore the order of the files`
}
