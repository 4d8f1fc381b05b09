import pg from 'pg'
import type { SqlResult, SqlStatement } from '../core/sql-client.js'

/** The part of a `pg` connection that a submittable uses, as `pg-cursor` does; unchanged since `pg` 7. */
interface Protocol {
  readonly stream: { cork(): void; uncork(): void }
  sync(): void
}

/** A query of `pg` that has not been sent. */
interface Query extends Record<Handler, (message: unknown, connection?: unknown) => void> {
  /** Sends parse, bind, describe, execute and sync. */
  prepare(connection: Protocol): void
}
type Handler =
  | 'handleRowDescription'
  | 'handleDataRow'
  | 'handleCommandComplete'
  | 'handleReadyForQuery'
  | 'handleError'

type Settle = (error: unknown, result?: unknown) => void

/**
 * Sends statements in one message and waits once for all answers. PostgreSQL runs them in order, each with a snapshot of its
 * own, so a statement sees what a lock before it waited for. After one that fails, it skips the rest, a `commit` included;
 * each of those gives the error of the one that failed. (The pipeline mode of `pg` 8.23 ends every query with a sync of its
 * own: after a failed one, the rest would run.)
 *
 * @returns the results, each a promise of its own; none is left unhandled
 */
export function queryTogether(
  client: pg.ClientBase,
  statements: readonly SqlStatement[],
): Promise<SqlResult<object>>[] {
  const batch = new StatementBatch(statements)
  client.query(batch as unknown as pg.Submittable)
  return batch.results
}

/** A submittable of several queries of `pg`, which read the answers. */
class StatementBatch {
  readonly results: Promise<SqlResult<object>>[]
  /** Called when all is over; `pg` puts its time limit around it. */
  callback: Settle = () => {}
  readonly #queries: readonly Query[]
  readonly #settle: Settle[] = []
  /** Index of the query that the server answers. */
  #current = 0
  #error: unknown

  constructor(statements: readonly SqlStatement[]) {
    this.results = statements.map(
      (_, index) =>
        new Promise((resolve, reject) => {
          this.#settle[index] = (error, result) =>
            error === undefined || error === null ? resolve(result as SqlResult<object>) : reject(error)
        }),
    )
    // Whoever issued a statement waits for its own result; the first error tells enough about the others.
    for (const result of this.results) result.catch(() => {})
    const Query = pg.Query as unknown as new (config: object, values: undefined, callback: Settle) => Query
    this.#queries = statements.map(
      ({ text, values = [] }, index) =>
        new Query({ text, values }, undefined, (error, result) => {
          if (error !== undefined && error !== null) this.#error ??= error
          this.#settle[index]?.(error, result)
        }),
    )
  }

  submit(connection: Protocol): void {
    const withoutSync = Object.create(connection, { sync: { value() {} } }) as Protocol
    connection.stream.cork()
    try {
      for (const query of this.#queries) {
        query.prepare(withoutSync)
        // A value that cannot be sent: nothing after its statement may run.
        if (this.#error !== undefined) break
      }
      connection.sync()
    } finally {
      connection.stream.uncork()
    }
  }

  handleRowDescription(message: unknown): void {
    this.#queries[this.#current]?.handleRowDescription(message)
  }

  handleDataRow(message: unknown): void {
    this.#queries[this.#current]?.handleDataRow(message)
  }

  handleCommandComplete(message: unknown, connection: unknown): void {
    this.#queries[this.#current]?.handleCommandComplete(message, connection)
    this.#current += 1
  }

  handleEmptyQuery(): void {
    this.#current += 1
  }

  handleReadyForQuery(connection: unknown): void {
    for (const query of this.#queries.slice(0, this.#current)) query.handleReadyForQuery(connection)
    this.#finish(this.#error)
  }

  /** The server's error, or that of a broken connection, or of one that did not answer in time. */
  handleError(error: unknown, connection: unknown): void {
    for (const query of this.#queries.slice(0, this.#current)) query.handleReadyForQuery(connection)
    this.#queries[this.#current]?.handleError(error, connection)
    this.#finish(error)
  }

  #finish(error: unknown): void {
    if (error !== undefined) for (const settle of this.#settle) settle(error)
    this.callback(error)
  }
}
