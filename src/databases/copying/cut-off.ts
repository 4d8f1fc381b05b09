import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'

/**
 * Ends every session of a database and keeps new ones out, in a transaction of the catalog. RENAME takes the lock that each new
 * session of a database waits for, and succeeds only when nobody is connected (PostgreSQL manual, ALTER DATABASE): so between
 * the last statement of an old session and the commit, nothing can be written there. The name is given back at once; the lock
 * is held until the end of the transaction. After a commit the database takes no connections; after a rollback, or the death
 * of this process, it does as before.
 *
 * @param transaction on the server that the database is on
 * @param admin connections that may end the sessions
 * @throws {@link TenancyError} TENANCY_RESTORE_FAILED: sessions that do not end, or a prepared transaction
 */
export async function cutOff(transaction: SqlClient, admin: SqlClient, prefix: string, name: string): Promise<void> {
  const passing = quoteIdentifier(`${prefix}swap_${randomBytes(4).toString('hex')}`)
  const database = quoteIdentifier(name)
  const over = new AbortController()
  // It waits up to 5 s for sessions to end, and holds the lock meanwhile.
  const renaming = transaction.query(`alter database ${database} rename to ${passing}`).finally(() => {
    over.abort()
  })
  renaming.catch(() => {})
  const endSessions =
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()'
  while (!over.signal.aborted) {
    await sleep(20)
    // One that this account may not end makes the whole statement fail; the rename then says so.
    if (!over.signal.aborted) await admin.query(endSessions, [name]).catch(() => {})
  }
  await renaming.catch((cause: unknown) => {
    if (!hasSqlState(cause, sqlStates.objectInUse)) throw cause
    throw new TenancyError(
      'TENANCY_RESTORE_FAILED',
      `The sessions of the database ${name} do not end: end those of other accounts, and prepared transactions, and try again`,
      { cause },
    )
  })
  await transaction.query(`alter database ${passing} rename to ${database}`)
  await transaction.query(`alter database ${database} allow_connections false`)
}

/** Undoes {@link cutOff} for a database, in a transaction of the catalog. */
export async function letIn(transaction: SqlClient, name: string): Promise<void> {
  await transaction.query(`alter database ${quoteIdentifier(name)} allow_connections true`)
}
