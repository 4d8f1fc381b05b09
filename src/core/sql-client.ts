/** The part of a node-postgres result that this package reads. */
export interface SqlResult<Row> {
  readonly rows: Row[]
  readonly rowCount: number | null
}

/** A statement and the values of its parameters. */
export interface SqlStatement {
  readonly text: string
  readonly values?: unknown[] | undefined
}

/** The part of a `pg` client that queries need. */
export interface SqlClient {
  query<Row extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<SqlResult<Row>>
}

/** A connection in the hands of one user. */
export interface SqlConnection extends SqlClient {
  /**
   * Sends statements in one message: PostgreSQL runs them in order, and after one that fails it runs none of the rest. Each
   * result is a promise of its own. A connection that cannot do this sends one statement after the other.
   */
  queryTogether?(statements: readonly SqlStatement[]): readonly Promise<SqlResult<object>>[]
  release(error?: boolean | Error): void
}

/** The part of a `pg.Pool` that this package needs: a query on any connection, or a connection for a transaction. */
export interface SqlPool extends SqlClient {
  connect(): Promise<SqlConnection>
  /** As `query`, for texts that repeat: they may be prepared, and sent again after an error, which has undone them. */
  queryRepeated?<Row extends object>(text: string, values: unknown[]): Promise<SqlResult<Row>>
}

/** Runs a read, or a call that is a transaction of its own, whose text repeats; prepared where the pool can do that. */
export function queryRepeated<Row extends object>(
  pool: SqlPool,
  text: string,
  values: unknown[],
): Promise<SqlResult<Row>> {
  return pool.queryRepeated?.<Row>(text, values) ?? pool.query<Row>(text, values)
}
