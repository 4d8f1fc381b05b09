import { createHash } from 'node:crypto'
import pg from 'pg'

/** The server does not know the statement, knows it already, or its result has another shape since. */
const goneStates = new Set(['26000', '42P05', '0A000'])

/**
 * Sends reads that come again and again as prepared statements: to plan the read of a member takes the server four times
 * as long as to run it. A name is made of its text, so that whatever else shares the server's session, behind a pooler,
 * can only have prepared the same under it. When a session turns out not to keep statements, none is prepared any more.
 *
 * @returns runs a read outside of transactions
 */
export function createPreparedReads(
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
      if (!(error instanceof pg.DatabaseError) || !goneStates.has(error.code ?? '')) throw error
      areKept = false
      return pool.query<Row>(text, values)
    }
  }
}
