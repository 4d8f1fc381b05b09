import pg, { type Client } from 'pg'
import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { FleetStatement } from '../../core/fleet/fleet-exec.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { FleetScript } from '../../core/fleet/ports.js'
import { hasSqlState, isServerError, sqlStates } from '../../postgres/outages/sql-states.js'

/** What a `pg.Client` has inside: the protocol's messages. */
interface ClientInternals {
  readonly connection: {
    on(event: 'readyForQuery', listener: (message: { readonly status?: string }) => void): unknown
    execute(portal: { readonly portal: string; readonly rows: number }): void
    sync(): void
  }
}

interface LimitedResult {
  readonly command: string | null
  readonly rowCount: number | null
  readonly rows: Record<string, unknown>[]
}

/** A query by the extended protocol, which takes one statement and no more, and which ends after so many rows. */
class LimitedQuery extends (pg.Query as unknown as new (config: object) => pg.Query & { readonly portal: string }) {
  isTruncated = false
  readonly #maxRows: number

  constructor(config: object, maxRows: number) {
    super(config)
    this.#maxRows = maxRows
  }

  // As pg does for a query without pages, so that an error ends the query, too: but the portal gives some rows only.
  _getRows(connection: ClientInternals['connection']): void {
    connection.execute({ portal: this.portal, rows: this.#maxRows })
    connection.sync()
  }

  handlePortalSuspended(): void {
    this.isTruncated = true
  }
}

/**
 * Runs the statements of a script in one transaction, which is read only unless the script may write. The server holds to
 * that: each statement is a message of its own by the extended protocol, which refuses a second statement in it, the
 * transaction has its snapshot before the first, so that it cannot become one that writes, and nothing is sent once it has ended.
 *
 * @param owner a connection (`pg.Client`) of the database's owner login, used for nothing else afterwards
 * @throws {@link TenancyError} TENANCY_DATABASE_STATEMENT_FAILED naming the tenant; nothing of the script stays
 */
export async function runScript(owner: SqlClient, slug: string, script: FleetScript): Promise<FleetStatement[]> {
  const { statements, params, write, statementTimeoutMs, maxRows } = script
  const client = owner as Client
  let status: string | undefined
  const { connection } = client as unknown as ClientInternals
  connection.on('readyForQuery', (message) => {
    status = message.status
  })
  const fail = (reason: string, cause?: unknown) =>
    new TenancyError('TENANCY_DATABASE_STATEMENT_FAILED', `Tenant "${slug}": ${reason}`, { cause })
  const results: FleetStatement[] = []
  try {
    await client.query(
      `begin ${write ? 'read write' : 'read only'}; reset search_path; set local lock_timeout = 2000; ` +
        `set local statement_timeout = ${statementTimeoutMs}`,
    )
    await client.query('select 1')
    for (const text of statements) {
      const result = await runLimited(client, { text, values: [...params], queryMode: 'extended' }, maxRows)
      results.push(result)
      if (status !== 'T') throw fail('a statement has ended the transaction')
    }
  } catch (error) {
    await client.query('rollback').catch(() => {})
    if (findTenancyError(error)) throw error
    const reason = error instanceof Error ? error.message : String(error)
    const wayOut = hasSqlState(error, sqlStates.readOnlySqlTransaction)
      ? ': let it write (write: true, or --write)'
      : ''
    throw fail(`${reason}${wayOut}`, error)
  }
  // What only reads leaves nothing to commit. Up to PostgreSQL 15, functions of large objects write in a read-only transaction.
  await client.query(write ? 'commit' : 'rollback').catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    // What wrote is never tried again: without its cause, the error is none that can pass.
    if (write)
      throw fail(isServerError(error) ? reason : `${reason}. Whether the transaction was committed is not known`)
    throw fail(reason, error)
  })
  return results
}

function runLimited(client: Client, config: object, maxRows: number): Promise<FleetStatement> {
  return new Promise((resolve, reject) => {
    const callback = (error: Error | null, result: LimitedResult) => {
      if (error) return reject(error)
      const { isTruncated } = query
      const { command, rows, rowCount } = result
      resolve({ command: command ?? '', rows, rowCount: isTruncated ? null : rowCount, isTruncated })
    }
    const query = new LimitedQuery({ ...config, callback }, maxRows)
    client.query(query)
  })
}
