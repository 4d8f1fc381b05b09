import pg from 'pg'
import { clientOf, holdToChannelBinding } from '../postgres/channel-binding.js'
import type { ServerAccount } from '../core/tenants/database-target.js'
import { TenancyError } from '../core/errors/errors.js'
import { followPool } from '../postgres/follow-pool.js'
import { isShortage } from '../postgres/outage.js'
import type { SqlPool } from '../core/sql-client.js'
import { createPreparedReads } from './prepared-reads.js'

/** Connections to the catalog database. */
export interface CatalogPool extends SqlPool {
  /** The pool underneath, for libraries that take one. Its errors are PostgreSQL's own. */
  readonly native: pg.Pool
  /** A connection of its own, outside of the pool, for LISTEN. */
  connectAlone(): Promise<pg.Client>
  end(): Promise<void>
}

/** Most connections of a {@link CatalogPool}, the one of `connectAlone` not counted. */
export const maxCatalogConnections = 10
// A query of the catalog takes milliseconds: one that takes longer than this waits for a server that is gone.
const queryTimeoutMs = 10_000

/**
 * Opens the catalog. A connection that cannot be had or breaks gives TENANCY_CATALOG_UNAVAILABLE; what PostgreSQL says of
 * a statement passes as it is.
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
  // A connection that dies says so in an event as well; unheard, it would end the process. Each has its listener from the
  // first moment: the server's goodbye may come in the same packet as its greeting.
  native.on('error', ignore)
  native.on('connect', (client) => client.on('error', ignore))
  const end = followPool(native)
  const read = createPreparedReads(native)
  return {
    native,
    query: (text, values) => native.query(text, values).catch(explainOutage),
    queryRepeated: <Row extends object>(text: string, values: unknown[]) =>
      read<Row & pg.QueryResultRow>(text, values).catch(explainOutage),
    async connect() {
      const client = await native.connect().catch(explainOutage)
      return {
        query: (text, values) => client.query(text, values).catch(explainOutage),
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

/** Connection exceptions, shutdowns, idle for too long (PostgreSQL manual, appendix A). */
const outageStates = /^(08...|57P0[1-5]|25P03)$/

function explainOutage(error: unknown): never {
  const isOutage = error instanceof pg.DatabaseError ? outageStates.test(error.code ?? '') || isShortage(error) : true
  if (!isOutage) throw error
  throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog cannot be reached', { cause: error })
}
