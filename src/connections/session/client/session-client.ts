import type pg from 'pg'
import type { SchemaEffects } from '../schema/schema-effects.js'

/** A `pg.Client` that knows whether its session is still as it was when it was opened. */
export type SessionClient = pg.Client & SessionMembers

/** Makes clients of one copy of `pg`. */
export type SessionClientClass = new (config: pg.ClientConfig, prepareStatements: boolean) => SessionClient

/** The members of a {@link SessionClient} that `pg.Client` does not have. */
export interface SessionMembers {
  /**
   * As of `pg`, in the context of the caller. One implementation stands behind all overloads: `never` fits each result.
   */
  query(query: unknown, values?: unknown, callback?: unknown): never
  /** Something ran that may have changed the session, as far as text and {@link schemaEffects} tell. */
  touched: boolean
  /**
   * What the database runs behind the names in a statement. Undefined: unknown, so anything may have changed the
   * session.
   */
  schemaEffects: SchemaEffects | undefined
  /** Called when the connection breaks, in use or not. */
  onLost: (error: Error) => void
  /** A pooler in transaction mode is in between: the session ends with each transaction. */
  transactionPooling: boolean
  /**
   * The schema may change from now on: nothing is prepared on this connection any more, names of statements are ignored. A
   * statement that was prepared before fails once its table has changed, and inside of a transaction there is no second try.
   */
  schemaMayChange(): void
  /** As `query`, but a callback is called in the asynchronous context that the answer comes in. */
  run(query: unknown, values: unknown, callback: unknown): unknown
  /** Runs a query of this library, which leaves nothing behind. Of several statements, the last one's rows are returned. */
  read<Row extends object = Record<string, unknown>>(text: string): Promise<Row[]>
  /**
   * Runs a query of this library as the first one; called before `connect`. An early one is sent before the server has
   * answered the client's proof of its password, where that proof is plain SCRAM. Rejects if the server leaves its own
   * proof out.
   */
  readFirst(text: string, isEarly: boolean): Promise<readonly Record<string, unknown>[]>
  /** No query runs or is queued, and the server has answered all that was sent. */
  readonly ready: boolean
  /** The server's last "ready for query" said that no transaction is open. */
  readonly outsideTransaction: boolean
  /** A query has not been answered yet, not even by an error. */
  readonly running: boolean
  /**
   * The server has nothing to do for this client: there is no query, or a cursor that nobody reads from at the moment.
   */
  readonly resting: boolean
  /** Bytes received from the server. */
  readonly bytesRead: number
  /** Bytes sent to the server. */
  readonly bytesWritten: number
  /** Queries can still be sent. */
  readonly usable: boolean
  /** Process id of the backend. */
  readonly backendPid: number | null
  /** Drops the type parsers that are set from now on when the returned function is called. */
  overrideTypes(): () => void
  /** Resolves when the last query has ended. False: the connection ended first, or `timeoutMs` is over. */
  settled(timeoutMs?: number): Promise<boolean>
  /** Undoes whatever the last user did to the session. False: it cannot be undone, close the connection. */
  reset(): Promise<boolean>
  /**
   * Asks the server to stop what runs (PostgreSQL manual, 54.2.9). Resolves when the request has been dealt with: it does
   * not hit what is sent and answered after that.
   */
  cancel(): Promise<void>
  /** Resolves when all requests to cancel have been dealt with. */
  cancelsDone(): Promise<unknown>
  /** Ends a cursor that nobody reads any further. The server waits for the client then, so there is nothing to cancel. */
  endPortal(): void
  /** Breaks the connection without a goodbye. */
  destroy(): void
}
