import pg from 'pg'
import { clientOf, holdToChannelBinding } from '../postgres/scram/channel-binding.js'
import type { ServerAccount } from '../core/tenants/database-target.js'
import { explainCatalogError } from '../postgres/outages/catalog-outage.js'
import { createPoolEnder } from '../postgres/pool-ender.js'
import type { SqlPool } from '../core/sql-client.js'
import { createPreparedQueries } from './prepared-queries.js'
import { queryTogether } from './statement-batch.js'

/** Connections to the catalog database. */
export interface CatalogPool extends SqlPool {
  /** The underlying pool, for libraries that take one. Its errors are PostgreSQL's own. */
  readonly native: pg.Pool
  /** Opens a connection outside the pool, for LISTEN. */
  connectAlone(): Promise<pg.Client>
  end(): Promise<void>
}

/** Largest number of connections of a {@link CatalogPool}, without the one of `connectAlone`. */
export const maxCatalogConnections = 10
// Queries of the catalog take milliseconds. One that takes longer than this waits for a server that no longer answers.
const queryTimeoutMs = 10_000

/** Options of {@link createCatalogPool}. */
export interface CatalogPoolOptions {
  /** Who runs this process, for the column `operator` of each entry of the audit log. Default: nobody is named. */
  readonly operator?: string | undefined
}

/**
 * Opens the catalog. A connection that cannot be opened or that breaks gives TENANCY_CATALOG_UNAVAILABLE. A request for one
 * after `end()` gives TENANCY_CLOSED. PostgreSQL's errors about a statement pass unchanged.
 */
export function createCatalogPool(account: ServerAccount, { operator }: CatalogPoolOptions = {}): CatalogPool {
  const options: pg.ClientConfig = {
    ...account,
    ssl: account.ssl,
    application_name: account.applicationName ?? 'tenants2fast catalog',
    connectionTimeoutMillis: account.connectTimeoutMs ?? 5000,
    enableChannelBinding: account.channelBinding !== undefined,
    keepAlive: true,
    // Of the connection's start, so that it outlives a reset of the session.
    ...(operator === undefined ? {} : { options: `-c tenants2fast.operator=${escapeOption(operator)}` }),
  }
  const native = new pg.Pool({
    ...options,
    Client: clientOf(pg.Client, account),
    max: maxCatalogConnections,
    query_timeout: queryTimeoutMs,
  })
  // A connection that breaks also emits an error, which would end the process without a listener. Each connection has its
  // listener from the start, because the server may send its error in the same packet as its greeting.
  native.on('error', ignore)
  native.on('connect', (client) => client.on('error', ignore))
  const end = createPoolEnder(native)
  const query = createPreparedQueries(native)
  return {
    native,
    query: (text, values) => native.query(text, values).catch(explainCatalogError),
    queryRepeated: <Row extends object>(text: string, values: unknown[]) =>
      query<Row & pg.QueryResultRow>(text, values).catch(explainCatalogError),
    async connect() {
      const client = await native.connect().catch(explainCatalogError)
      return {
        query: (text, values) => client.query(text, values).catch(explainCatalogError),
        queryTogether: (statements) =>
          queryTogether(client, statements).map((result) => result.catch(explainCatalogError)),
        release: (error) => client.release(error),
      }
    },
    async connectAlone() {
      const client = new pg.Client(options)
      client.on('error', ignore)
      holdToChannelBinding(client, account)
      await client.connect()
      return client
    },
    end,
  }
}

function ignore(): void {}

/** PostgreSQL splits `options` at white space; a backslash takes the next character as it is. */
function escapeOption(value: string): string {
  return value.replaceAll(/[\\\s]/g, '\\$&')
}
