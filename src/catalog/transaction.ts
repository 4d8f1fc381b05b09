import { isTenancyError } from '../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../core/sql-client.js'

/**
 * Runs `work` in one transaction on one connection: committed when it resolves, rolled back when it throws. A
 * connection whose rollback fails is destroyed.
 */
export async function inTransaction<Result>(
  pool: SqlPool,
  work: (client: SqlClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect()
  let broken = false
  try {
    // Our transactions take milliseconds. The server ends one whose process stopped in the middle, so that nobody waits for
    // its locks.
    await client.query("begin; set local idle_in_transaction_session_timeout = '10s'")
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    // A rollback cannot succeed where the statement before it got no answer. The server rolls back when the connection ends.
    broken = isTenancyError(error, 'TENANCY_CATALOG_UNAVAILABLE')
    if (!broken) {
      await client.query('rollback').catch(() => {
        broken = true
      })
    }
    throw error
  } finally {
    client.release(broken)
  }
}
