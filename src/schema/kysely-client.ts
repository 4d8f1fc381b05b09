import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely'
import { TenancyError } from '../core/errors/errors.js'
import type { SqlClient, SqlResult } from '../core/sql-client.js'
import type { MigrationFunction } from '../core/tenants/migration.js'

/** `up` or `down` of a migration of Kysely; `db` is a `Kysely<any>`. */
export type KyselyMigration = (db: unknown) => Promise<void> | void

/**
 * Makes a migration of one that takes a Kysely instance. The instance has one connection, that of the migration, and is inside
 * of its transaction: as with Kysely's own `Migrator`, it begins no other.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export async function withKysely(migration: KyselyMigration): Promise<MigrationFunction> {
  const { Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } = await import('kysely').catch(
    (cause: unknown) => {
      throw new TenancyError('TENANCY_CONFIG_PEER_MISSING', 'Migrations of Kysely need the package kysely', { cause })
    },
  )
  return async (client) => {
    const db = new Kysely<unknown>({
      dialect: {
        createAdapter: () => new PostgresAdapter(),
        createDriver: () => new OneClientDriver(client),
        createIntrospector: (instance) => new PostgresIntrospector(instance),
        createQueryCompiler: () => new PostgresQueryCompiler(),
      },
    })
    await db.transaction().execute(async (transaction) => migration(transaction))
  }
}

/** A driver of one connection whose transaction is somebody else's. */
class OneClientDriver implements Driver {
  readonly #connection: DatabaseConnection

  constructor(client: SqlClient) {
    this.#connection = new OneClientConnection(client)
  }

  async init(): Promise<void> {}
  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#connection
  }
  async beginTransaction(): Promise<void> {}
  async commitTransaction(): Promise<void> {}
  async rollbackTransaction(): Promise<void> {}
  async releaseConnection(): Promise<void> {}
  async destroy(): Promise<void> {}
}

class OneClientConnection implements DatabaseConnection {
  readonly #client: SqlClient

  constructor(client: SqlClient) {
    this.#client = client
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const result: SqlResult<Row & object> & { readonly command?: string } = await this.#client.query<Row & object>(
      sql,
      [...parameters],
    )
    const { rows, rowCount, command } = result
    if (rowCount === null || command === undefined || !changingCommands.has(command)) return { rows }
    return { rows, numAffectedRows: BigInt(rowCount) }
  }

  // eslint-disable-next-line require-yield
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new Error('A migration cannot stream: use execute()')
  }
}

const changingCommands: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])
