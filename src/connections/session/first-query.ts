import type pg from 'pg'
import type { ClientInternals, ConnectionInternals } from './client/client-internals.js'
import type { PgCopy } from './client/pg-copy.js'

type Rows = readonly Record<string, unknown>[]

/** The query that a connection answers first. It is queued before the client connects. */
export interface FirstQuery {
  readonly submittable: pg.Submittable
  readonly rows: Promise<Rows>
  /**
   * Sends it now, behind the proof of the password. The server reads it when it has let the client in, and its answer comes
   * with the end of the login: one round trip less. If the login fails, the server never reads it.
   */
  sendEarly(): void
}

/** Makes the first query of a client. It has no parameters, and its answer is believed only after the login. */
export function firstQuery({ Query: Base }: PgCopy, client: ClientInternals, text: string): FirstQuery {
  const Query = Base as unknown as new (text: string, values: undefined, callback: unknown) => pg.Submittable
  const { promise: rows, resolve, reject } = withResolvers<Rows>()
  const submittable = new Query(text, undefined, (error: Error | null | undefined, result: pg.QueryResult) =>
    error == null ? resolve(rowsOf(result)) : reject(error),
  )
  let isSent = false
  const send = (connection: Pick<ConnectionInternals, 'query'>): void => {
    if (!isSent) connection.query(text)
    isSent = true
  }
  // `pg` calls it when the login is over.
  submittable.submit = (connection: unknown) => {
    if (client.saslSession == null) return send(connection as ConnectionInternals)
    // The server has not proved that it knows the password, and `pg` does not mind.
    reject(new Error('The server ended the login before its own proof'))
    client.connection.stream.destroy()
  }
  return { submittable, rows, sendEarly: () => send(client.connection) }
}

/** A server that answers one query by several results gives a list of them: that is no identity. */
function rowsOf(result: pg.QueryResult | readonly pg.QueryResult[]): Rows {
  return 'rows' in result ? (result.rows as Rows) : []
}

/** `Promise.withResolvers` of Node 22. */
function withResolvers<Value>() {
  let resolve!: (value: Value) => void
  let reject!: (error: Error) => void
  const promise = new Promise<Value>((onDone, onError) => {
    resolve = onDone
    reject = onError
  })
  return { promise, resolve, reject }
}
