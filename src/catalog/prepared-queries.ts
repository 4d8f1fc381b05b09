import { createHash } from 'node:crypto'
import type pg from 'pg'
import { hasSqlState, sqlStates } from '../postgres/outages/sql-states.js'

/** The session does not know the statement, knows it already, or the shape of its result has changed. */
const staleStates = [
  sqlStates.invalidSqlStatementName,
  sqlStates.duplicatePreparedStatement,
  sqlStates.featureNotSupported,
] as const

/**
 * Sends repeated reads as prepared statements, because planning the read of a member takes the server four times as long as
 * running it. A statement's name is a hash of its text, so that another client of the same session, behind a pooler, can
 * only have prepared the same text under it. When a session turns out not to keep statements, no more are prepared.
 *
 * @returns a function that runs a read outside of transactions
 */
export function createPreparedQueries(
  pool: pg.Pool,
): <Row extends pg.QueryResultRow>(text: string, values: unknown[]) => Promise<pg.QueryResult<Row>> {
  const names = new Map<string, string>()
  let areKept = true

  function nameOf(text: string): string {
    let name = names.get(text)
    if (name === undefined) {
      name = `t2f_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`
      names.set(text, name)
    }
    return name
  }

  return async <Row extends pg.QueryResultRow>(text: string, values: unknown[]) => {
    if (!areKept) return pool.query<Row>(text, values)
    try {
      return await pool.query<Row>({ name: nameOf(text), text, values })
    } catch (error) {
      if (!hasSqlState(error, ...staleStates)) throw error
      areKept = false
      return pool.query<Row>(text, values)
    }
  }
}
