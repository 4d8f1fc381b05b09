/** The part of a node-postgres result that this package reads. */
export interface SqlResult<Row> {
  readonly rows: Row[]
  readonly rowCount: number | null
}

/** The part of a `pg` client that queries need. */
export interface SqlClient {
  query<Row extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<SqlResult<Row>>
}

/** The part of a `pg.Pool` that this package needs: a query on any connection, or a connection for a transaction. */
export interface SqlPool extends SqlClient {
  connect(): Promise<SqlClient & { release(error?: boolean | Error): void }>
  /** As `query`, for texts that repeat: they may be prepared, and sent again after an error, which has undone them. */
  queryRepeated?<Row extends object>(text: string, values: unknown[]): Promise<SqlResult<Row>>
}

/** Runs a read, or a call that is a transaction of its own, whose text repeats; prepared where the pool can do that. */
export function readRepeated<Row extends object>(
  pool: SqlPool,
  text: string,
  values: unknown[],
): Promise<SqlResult<Row>> {
  return pool.queryRepeated?.<Row>(text, values) ?? pool.query<Row>(text, values)
}
