import { setOrigin } from '../core/audit-origin.js'
import {
  queryRepeated,
  type SqlClient,
  type SqlConnection,
  type SqlPool,
  type SqlResult,
  type SqlStatement,
} from '../core/sql-client.js'
import { isServerError } from './outages/sql-states.js'

/**
 * Runs one statement that is a transaction of its own and may write into the audit log: in a request together with where that comes
 * from, in one message. Without a sync between them, PostgreSQL runs both in one transaction.
 */
export function queryAudited<Row extends object>(
  pool: SqlPool,
  text: string,
  values: unknown[],
): Promise<SqlResult<Row>> {
  return withOriginOf<Row>(pool, { text, values }, () => queryRepeated(pool, text, values))
}

/** Makes every statement outside of transactions one of {@link queryAudited}: for a part whose statements are few. */
export function auditedPool(pool: SqlPool): SqlPool {
  return {
    query: <Row extends object>(text: string, values?: unknown[]) =>
      withOriginOf<Row>(pool, { text, values }, () => pool.query(text, values)),
    connect: () => pool.connect(),
  }
}

/** @param alone runs the statement where there is no request */
function withOriginOf<Row extends object>(
  pool: SqlPool,
  statement: SqlStatement,
  alone: () => Promise<SqlResult<Row>>,
): Promise<SqlResult<Row>> {
  const origin = setOrigin()
  return origin === undefined ? alone() : (runOnPool(pool, origin, statement) as Promise<SqlResult<Row>>)
}

async function runOnPool(pool: SqlPool, origin: SqlStatement, statement: SqlStatement): Promise<SqlResult<object>> {
  const client = await pool.connect()
  try {
    const result = await runTogether(client, origin, statement)
    client.release()
    return result
  } catch (error) {
    // A statement that the server refuses leaves the connection as it was.
    client.release(!isServerError(error))
    throw error
  }
}

/** Runs one statement outside of a transaction, together with where it comes from. */
export async function runTogether(
  client: SqlConnection,
  origin: SqlStatement,
  statement: SqlStatement,
): Promise<SqlResult<object>> {
  if (client.queryTogether === undefined) return runInTransaction(client, origin, statement)
  const [, result] = await Promise.all(client.queryTogether([origin, statement]))
  return result as SqlResult<object>
}

async function runInTransaction(
  client: SqlClient,
  origin: SqlStatement,
  { text, values }: SqlStatement,
): Promise<SqlResult<object>> {
  await client.query('begin')
  try {
    await client.query(origin.text, origin.values)
    const result = await client.query(text, values)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}
