/** A result as node-postgres gives it: the part this package reads. */
export interface SqlResult<Row> {
  readonly rows: Row[]
  readonly rowCount: number | null
}

/** Structural part of a `pg` client: what queries need. */
export interface SqlClient {
  query<Row extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<SqlResult<Row>>
}

/** Structural part of a `pg.Pool`: a query on any connection, or a connection for a transaction. */
export interface SqlPool extends SqlClient {
  connect(): Promise<SqlClient & { release(error?: boolean | Error): void }>
  /** As `query`, for reads that come again and again with the same text: they may be prepared, and sent again. */
  queryRepeated?<Row extends object>(text: string, values: unknown[]): Promise<SqlResult<Row>>
}

/** Runs a read that comes again and again with the same text; prepared where the pool can do that. */
export function readRepeated<Row extends object>(
  pool: SqlPool,
  text: string,
  values: unknown[],
): Promise<SqlResult<Row>> {
  return pool.queryRepeated?.<Row>(text, values) ?? pool.query<Row>(text, values)
}

/**
 * Quotes one SQL identifier (PostgreSQL manual, 4.1.1). The only place where a name enters DDL; names are ours
 * (prefix and id), never text of a user.
 *
 * @throws RangeError when the name is empty, longer than PostgreSQL's 63 bytes, or holds a NUL
 */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > 63) {
    throw new RangeError('An SQL identifier has 1 to 63 bytes and no NUL')
  }
  return `"${name.replaceAll('"', '""')}"`
}

/** Quotes a string literal for statements that take no parameters (DDL). Assumes standard_conforming_strings. */
export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new RangeError('An SQL literal holds no NUL')
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}
