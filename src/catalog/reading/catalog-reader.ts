import type pg from 'pg'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { TenancyError } from '../../core/errors/errors.js'
import { clientOf } from '../../postgres/scram/channel-binding.js'
import { createPoolEnder } from '../../postgres/pool-ender.js'
import { sqlStateOf, sqlStates } from '../../postgres/outages/sql-states.js'

/**
 * Reads the catalog: a `pg.Pool` for queries of the application over the tables of `tenants2fast/tables`, by hand or by Drizzle and
 * Kysely. Its account on the server can read and nothing else, and sees no secrets.
 */
export type CatalogReader = pg.Pool

/** Most connections of a {@link CatalogReader} in a process. */
export const maxReaderConnections = 3
const statementTimeoutMs = 30_000
// The account cannot write, whatever a session sets: these only keep mistakes short.
const sessionOptions = [
  'default_transaction_read_only=on',
  `statement_timeout=${statementTimeoutMs}`,
  'idle_in_transaction_session_timeout=10000',
  'lock_timeout=5000',
]
  .map((setting) => `-c ${setting}`)
  .join(' ')

/** Options of {@link createCatalogReader}. */
export interface CatalogReaderOptions {
  readonly account: ServerAccount
  /** Makes the account ready on the server. It is called before the first connection, and again after a failure or a refused password. */
  readonly prepare: () => Promise<void>
  /** The application's copy of `pg`, so that an ORM knows what it gets. */
  readonly copy: { readonly Pool: typeof pg.Pool; readonly Client: typeof pg.Client }
}

type ConnectCallback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (error?: Error | boolean) => void,
) => void

/** A reader that connects when it is first used. `close` ends it; its own `end` does nothing, as it is not the caller's. */
export function createCatalogReader({ account, prepare, copy: { Pool, Client } }: CatalogReaderOptions): {
  readonly pool: CatalogReader
  readonly close: () => Promise<void>
} {
  const { host, port, user, password, database, ssl, channelBinding, connectTimeoutMs, applicationName } = account
  const pool = new Pool({
    ...{ host, port, user, password, database },
    ...(ssl === undefined ? {} : { ssl }),
    application_name: applicationName ?? 'tenants2fast catalog reader',
    connectionTimeoutMillis: connectTimeoutMs ?? 5000,
    enableChannelBinding: channelBinding !== undefined,
    keepAlive: true,
    options: sessionOptions,
    Client: clientOf(Client, account),
    max: maxReaderConnections,
    idleTimeoutMillis: 10_000,
    query_timeout: statementTimeoutMs + 5000,
  })
  // Without a listener, a connection that breaks would end the process.
  pool.on('error', () => {})
  const endPool = pool.end.bind(pool)
  const end = createPoolEnder({
    on: (event, listener) => pool.on(event as 'remove', listener),
    get _pendingQueue() {
      return (pool as unknown as Pick<Parameters<typeof createPoolEnder>[0], '_pendingQueue'>)._pendingQueue ?? []
    },
    end: () => endPool(),
  })
  pool.on('connect', (client) => client.on('error', () => {}))

  let preparing: Promise<void> | undefined
  let isClosed = false
  const ready = async () => {
    if (isClosed) throw new TenancyError('TENANCY_CLOSED')
    preparing ??= prepare().catch((error: unknown) => {
      preparing = undefined
      throw error
    })
    await preparing
  }
  const connectOnce = pool.connect.bind(pool) as unknown as () => Promise<pg.PoolClient>
  const connect = async (): Promise<pg.PoolClient> => {
    await ready()
    const prepared = preparing
    try {
      return await connectOnce()
    } catch (error) {
      // Every role may change its own password, so text that became SQL may as well.
      if (sqlStateOf(error) !== sqlStates.invalidPassword) throw error
      if (preparing === prepared) preparing = undefined
      await ready()
      return connectOnce()
    }
  }
  Object.assign(pool, {
    // `query` of the pool connects by this as well.
    connect(callback?: ConnectCallback) {
      if (callback === undefined) return connect()
      connect().then(
        (client) => callback(undefined, client, (error) => client.release(error)),
        (error: Error) => callback(error, undefined, () => {}),
      )
      return undefined
    },
    end: async (callback?: () => void) => callback?.(),
  })
  return {
    pool,
    async close() {
      isClosed = true
      await preparing?.catch(() => {})
      await end()
    },
  }
}
