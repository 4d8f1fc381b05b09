import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { SchemaSource } from '../../src/core/tenants/migration.js'
import { applySqlFiles, revertSqlFiles, type SqlLedger } from '../../src/postgres/files/sql-files.js'
import { readMigrations } from '../../src/schema/read-migrations.js'
import { createTestDatabase } from '../support/catalog.js'

export const codes = {
  invalid: 'TENANCY_DATABASE_SCHEMA_INVALID',
  failed: 'TENANCY_DATABASE_SCHEMA_FAILED',
  blocked: 'TENANCY_DATABASE_SCHEMA_BLOCKED',
  disagreement: 'TENANCY_DATABASE_SCHEMA_DISAGREES',
} as const

export const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

/** An empty database with a ledger of its own, as a tenant's has it. */
export interface SchemaDatabase {
  readonly url: string
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>
  /** Runs a script on a connection of its own, whose settings it may change. */
  run(script: string): Promise<void>
  /** Applies what the source has and the ledger lacks; returns names. */
  apply(source: SchemaSource, options?: Partial<SqlLedger>): Promise<string[]>
  revert(source: SchemaSource, to: number): Promise<string[]>
  /** Names in the ledger. */
  applied(): Promise<unknown[]>
  drop(): Promise<void>
}

export async function createSchemaDatabase(): Promise<SchemaDatabase> {
  const database = await createTestDatabase()
  await database.pool.query('create schema tenants2fast')
  const query = async (text: string, values: unknown[] = []) =>
    (await database.pool.query<Record<string, unknown>>(text, values)).rows
  /** A connection of its own: a run that fails leaves it as it is. */
  const onClient = async <Result>(work: (client: pg.Client) => Promise<Result>) => {
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    try {
      return await work(client)
    } finally {
      await client.end()
    }
  }
  const ledgerOf = async (source: SchemaSource) => {
    const { migrations, tool } = await readMigrations(source, codes)
    return { migrations, ledger: { schema: 'tenants2fast', codes, tool } }
  }
  return {
    url: database.url,
    query,
    run: (script) => onClient(async (client) => void (await client.query(script))),
    async apply(source, options = {}) {
      const { migrations, ledger } = await ledgerOf(source)
      return onClient((client) => applySqlFiles(client, migrations, { ...ledger, ...options }))
    },
    async revert(source, to) {
      const { migrations, ledger } = await ledgerOf(source)
      const irreversible = 'TENANCY_DATABASE_SCHEMA_IRREVERSIBLE'
      return onClient((client) => revertSqlFiles(client, migrations, { to, irreversible }, ledger))
    },
    applied: async () =>
      (await query('select name from tenants2fast.schema_migrations order by version')).map(({ name }) => name),
    drop: () => database.drop(),
  }
}

/** Where modules of this package are found. */
export const besideModules = fileURLToPath(new URL('.', import.meta.url))

/** A folder with these files; removed by `remove`. */
export async function createFolder(
  files: Readonly<Record<string, string>>,
  parent = tmpdir(),
): Promise<{
  readonly dir: string
  write(files: Readonly<Record<string, string>>): Promise<void>
  remove(): Promise<void>
}> {
  const dir = await mkdtemp(join(parent, 't2f-migrations-'))
  const write = async (added: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(added)) {
      await mkdir(dirname(join(dir, name)), { recursive: true })
      await writeFile(join(dir, name), text)
    }
  }
  await write(files)
  return { dir, write, remove: () => rm(dir, { recursive: true }) }
}
