import pg from 'pg'
import type { ServerAccount } from '../core/database-target.js'
import { TenancyError } from '../core/errors.js'
import type { SqlClient, SqlPool } from '../core/sql.js'

/** Connections to the catalog database. */
export interface CatalogPool extends SqlPool {
  /** The pool underneath, for libraries that take one. Its errors are PostgreSQL's own. */
  readonly native: pg.Pool
  /** A connection of its own, outside of the pool, for LISTEN. */
  connectAlone(): Promise<pg.Client>
  end(): Promise<void>
}

const maxConnections = 10
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
    application_name: 'tenants2fast catalog',
    connectionTimeoutMillis: 5000,
    keepAlive: true,
  }
  const native = new pg.Pool({ ...options, max: maxConnections, query_timeout: queryTimeoutMs })
  // An idle connection that dies is replaced; without a listener it would end the process.
  native.on('error', () => {})
  // The same for one in use, between two queries of a transaction.
  native.on('connect', (client) => client.on('error', () => {}))
  return {
    native,
    query: (text, values) => native.query(text, values).catch(explainOutage),
    async connect() {
      const client = await native.connect().catch(explainOutage)
      const guarded: SqlClient = { query: (text, values) => client.query(text, values).catch(explainOutage) }
      return { ...guarded, release: (error) => client.release(error) }
    },
    async connectAlone() {
      const client = new pg.Client(options)
      await client.connect()
      return client
    },
    end: () => native.end(),
  }
}

/** Connection exceptions, shutdowns, idle for too long, and "too many clients" (PostgreSQL manual, appendix A). */
const outageStates = /^(08...|57P0[1-5]|25P03|53300)$/

function explainOutage(error: unknown): never {
  const isOutage = error instanceof pg.DatabaseError ? outageStates.test(error.code ?? '') : true
  if (!isOutage) throw error
  throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog cannot be reached', { cause: error })
}
