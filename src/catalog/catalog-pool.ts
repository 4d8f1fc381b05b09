import pg from 'pg'
import { clientOf, holdToChannelBinding } from '../postgres/channel-binding.js'
import type { ServerAccount } from '../core/tenants/database-target.js'
import { explainCatalogError } from '../postgres/catalog-outage.js'
import { createPoolEnder } from '../postgres/pool-ender.js'
import type { SqlPool } from '../core/sql-client.js'
import { createPreparedReads } from './prepared-reads.js'

/** Connections to the catalog database. */
export interface CatalogPool extends SqlPool {
  /** The pool underneath, for libraries that take one. Its errors are PostgreSQL's own. */
  readonly native: pg.Pool
  /** Opens a connection outside of the pool, for LISTEN. */
  connectAlone(): Promise<pg.Client>
  end(): Promise<void>
}

/** Most connections of a {@link CatalogPool}, without the one of `connectAlone`. */
export const maxCatalogConnections = 10
// Queries of the catalog take milliseconds: one that takes longer than this waits for a server that is gone.
const queryTimeoutMs = 10_000

/**
 * Opens the catalog. A connection that cannot be had or breaks gives TENANCY_CATALOG_UNAVAILABLE, one that is asked for
 * after `end()` TENANCY_CLOSED; what PostgreSQL says of a statement passes as it is.
 */
export function createCatalogPool(account: ServerAccount): CatalogPool {
  const options: pg.ClientConfig = {
    ...account,
    ssl: account.ssl,
    application_name: account.applicationName ?? 'tenants2fast catalog',
    connectionTimeoutMillis: account.connectTimeoutMs ?? 5000,
    enableChannelBinding: account.channelBinding !== undefined,
    keepAlive: true,
  }
  const native = new pg.Pool({
    ...options,
    Client: clientOf(pg.Client, account),
    max: maxCatalogConnections,
    query_timeout: queryTimeoutMs,
  })
  // A connection that dies also emits an error, which would end the process if nobody listened. Each has its listener from
  // the first moment: the server's goodbye may come in the same packet as its greeting.
  native.on('error', ignore)
  native.on('connect', (client) => client.on('error', ignore))
  const end = createPoolEnder(native)
  const read = createPreparedReads(native)
  return {
    native,
    query: (text, values) => native.query(text, values).catch(explainCatalogError),
    queryRepeated: <Row extends object>(text: string, values: unknown[]) =>
      read<Row & pg.QueryResultRow>(text, values).catch(explainCatalogError),
    async connect() {
      const client = await native.connect().catch(explainCatalogError)
      return {
        query: (text, values) => client.query(text, values).catch(explainCatalogError),
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
