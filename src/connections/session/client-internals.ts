import type pg from 'pg'

/**
 * What the clients of `pg` 8.11 to 8.23 know about themselves and their types do not say. Names have changed in between:
 * {@link queueOf} and {@link activeQueryOf} read either. `pgCopyOf` refuses a copy that lacks a part; test/connections
 * holds the newest, and one of 2025, to them.
 */
export interface ClientInternals {
  /** Undefined until connected. */
  readonly readyForQuery: boolean | undefined
  readonly _queryable: boolean
  readonly _ending: boolean
  _types: pg.TypeOverrides
  readonly processID: number | null
  readonly secretKey: number | null
  /** Queries are sent before the ones in front of them are answered; not before 8.17. */
  pipeline: boolean
  /** Until 8.16; later ones answer with a warning. */
  readonly queryQueue: readonly unknown[]
  readonly _queryQueue?: readonly unknown[]
  /** Until 8.16; later ones answer with a warning. */
  readonly activeQuery: unknown
  _getActiveQuery?(): unknown
  readonly connection: {
    readonly stream: {
      readonly bytesRead: number
      readonly bytesWritten: number
      cork(): void
      uncork(): void
      destroy(): void
    }
    query(text: string): void
    sync(): void
    on(event: 'readyForQuery', listener: (message: { readonly status?: string }) => void): void
    on(event: 'errorMessage', listener: () => void): void
    /** By name. */
    readonly parsedStatements: Record<string, string>
    close(message: { readonly type: 'S'; readonly name: string }): void
  }
}

/** Queries that have not been sent. */
export function queueOf(client: ClientInternals): readonly unknown[] {
  return client._queryQueue ?? client.queryQueue
}

/** The query that the server works on, if any. */
export function activeQueryOf(client: ClientInternals): unknown {
  return client._getActiveQuery === undefined ? client.activeQuery : client._getActiveQuery()
}
