import type pg from 'pg'

/**
 * The private parts of `pg` that connections use, all of them: `pg` 8.11 to 8.23 has them, its types do not show them.
 * {@link missingInternal} looks for those that a client has before it connects; test/connections holds the newest copy,
 * and one of 2025, to them. "Since 7": 7.15 has the part, so every supported copy does. (What `pg` calls on a query
 * object is fenced in by `queries/submittable.ts`.)
 */
export interface ClientInternals {
  /** Tells whether the next query is sent at once; undefined until connected. Since 7. */
  readonly readyForQuery: boolean | undefined
  /** False once the connection has failed: such a connection is not handed out. Since 7. */
  readonly _queryable: boolean
  /** True once the client ends the connection: such a connection is not handed out. Since 7. */
  readonly _ending: boolean
  /** The client's type parsers: those that a user sets are dropped at the end of the checkout. Since 7. */
  _types: pg.TypeOverrides
  /** Process id of the backend, to find the connection that a control client names, and to cancel. Since 7. */
  readonly processID: number | null
  /** The key that the server asks for in a request to cancel. Since 7. */
  readonly secretKey: number | null
  /**
   * Sends queries before the ones in front of them are answered: a reset takes one round trip. Since 8.23, ignored
   * before.
   */
  pipeline: boolean
  /** Queries that have not been sent: a client with some is not ready. Until 8.16; later copies answer with a warning. */
  readonly queryQueue: readonly unknown[]
  /** As `queryQueue`. Since 8.17. */
  readonly _queryQueue?: readonly unknown[]
  /**
   * The query that the server works on: while there is one, it has to be settled first. Until 8.16; later copies warn.
   */
  readonly activeQuery: unknown
  /** As `activeQuery`. Since 8.17. */
  _getActiveQuery?(): unknown
  /** The password, for the SCRAM answer that is computed at once. Since 7. */
  readonly password: unknown
  /** The state of a SCRAM login, which `pg` itself completes and checks; null once it is complete. Since 7. */
  readonly saslSession:
    | {
        readonly mechanism: string
        message: string
        response: string
        serverSignature: string
      }
    | null
    | undefined
  /** Answers the server's challenge: replaced where the answer can be computed at once. Since 8.3.2. */
  _handleAuthSASLContinue(message: { readonly data: unknown }): unknown
  /** The protocol connection below the client. Since 7. */
  readonly connection: ConnectionInternals
}

/** The protocol connection of a client of `pg`. */
export interface ConnectionInternals {
  /** The socket: tells what was read and written, sends a reset in one packet, and can be broken off. Since 7. */
  readonly stream: {
    readonly bytesRead: number
    readonly bytesWritten: number
    cork(): void
    uncork(): void
    destroy(): void
  }
  /** Sends a simple query: wrapped to count the answers that are due, and called during a login. Since 7. */
  query(text: string): void
  /** Asks for "ready for query": wrapped to count the answers that are due, and called to end a cursor. Since 7. */
  sync(): void
  /** Tells the transaction's state after each answer. Since 7. */
  on(event: 'readyForQuery', listener: (message: { readonly status?: string }) => void): void
  /** Tells each error of the server, also of statements whose error the application handles. Since 7. */
  on(event: 'errorMessage', listener: (message: { readonly code?: string }) => void): void
  /** Fails the login. Since 7. */
  emit(event: 'error', error: Error): void
  /** Texts of prepared statements by name: what `pg` believes that the session knows. Since 7. */
  readonly parsedStatements: Record<string, string>
  /** Closes a prepared statement that makes room for another one. Since 7. */
  close(message: { readonly type: 'S'; readonly name: string }): void
  /** Asks for the columns of a result: left out for a prepared statement whose columns are known. Since 7. */
  describe(message: unknown): void
  /** Sends the SCRAM answer. Since 7. */
  sendSCRAMClientFinalMessage(response: string): void
}

/** The columns of a result, as the server describes them. */
export type Fields = readonly unknown[]

/** The query objects of `pg`. */
export interface QueryInternals extends pg.Submittable {
  /** The result: told the known columns of a prepared statement. Since 7. */
  _result: { addFields(fields: Fields): void }
  /** Whether rows are kept: `pg` sets it when the columns arrive. Since 7. */
  _accumulateRows: boolean
  /** Whether the connection has the statement already. Since 7. */
  hasBeenParsed(connection: ConnectionInternals): boolean
  /** Sends parse, bind, describe and execute: called with a connection that sends no describe. Since 7. */
  prepare(connection: ConnectionInternals): void
  /** Takes the columns: remembered for the next time. Since 7. */
  handleRowDescription(message: { readonly fields: Fields }): void
}

/** A client of any copy of `pg`, as it is inside. */
export function internalsOf(client: object): ClientInternals {
  return client as ClientInternals
}

/** Queries that have not been sent. */
export function queueOf(client: ClientInternals): readonly unknown[] {
  return client._queryQueue ?? client.queryQueue
}

/** The query that the server works on, if any. */
export function activeQueryOf(client: ClientInternals): unknown {
  return client._getActiveQuery === undefined ? client.activeQuery : client._getActiveQuery()
}

/**
 * Names a part that a copy of `pg` lacks, if there is one. Makes a client that is never connected, which costs nothing.
 */
export function missingInternal(Client: typeof pg.Client, Pool: typeof pg.Pool, Query: unknown): string | undefined {
  if (typeof Query !== 'function') return 'Query'
  const methods: readonly (readonly [object | undefined, readonly string[]])[] = [
    [Client.prototype, ['connect', 'query', 'end', 'getTypeParser', '_handleAuthSASLContinue']],
    [Pool.prototype, ['connect', 'query', 'end']],
    [Query.prototype as object, ['submit', 'prepare', 'hasBeenParsed', 'handleRowDescription', 'handleError']],
  ]
  for (const [prototype, names] of methods) {
    const lacking = names.find((name) => typeof (prototype as Record<string, unknown>)?.[name] !== 'function')
    if (lacking !== undefined) return lacking
  }
  let client: Record<string, unknown>
  try {
    client = new Client({ host: '127.0.0.1', password: '' }) as unknown as Record<string, unknown>
  } catch {
    return 'Client that can be made'
  }
  if (!Array.isArray(client['_queryQueue'] ?? client['queryQueue'])) return 'queue of queries'
  const connection = client['connection'] as Record<string, unknown> | undefined
  // The native client of node-postgres has no connection of its own.
  if (typeof connection?.['parsedStatements'] !== 'object') return 'connection (is it the native client?)'
  const lacking = ['query', 'sync', 'close', 'describe', 'sendSCRAMClientFinalMessage'].find(
    (name) => typeof connection[name] !== 'function',
  )
  return lacking === undefined && client['_types'] === undefined ? '_types' : lacking
}
