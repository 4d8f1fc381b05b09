import { Client, Pool, type PoolConfig } from 'pg'
import { clientOf, holdToChannelBinding } from '../../postgres/scram/channel-binding.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { createPoolEnder } from '../../postgres/pool-ender.js'

/** The options of `pg` for an account. */
export function connectionOptions(account: ServerAccount): PoolConfig {
  const { host, port, user, password, database, ssl, channelBinding, connectTimeoutMs, applicationName } = account
  return {
    ...{ host, port, user, password, database },
    application_name: applicationName ?? 'tenants2fast',
    connectionTimeoutMillis: connectTimeoutMs ?? 10_000,
    enableChannelBinding: channelBinding !== undefined,
    ...(ssl === undefined ? {} : { ssl }),
    Client: clientOf(Client, account),
  }
}

/** Long, for large templates: a query that takes longer waits for a server that is gone. */
const poolQueryTimeoutMs = 600_000

/** A pool of the provisioning account, and the function that ends it. */
export interface AdminPool {
  readonly pool: Pool
  /** @see createPoolEnder */
  readonly end: ReturnType<typeof createPoolEnder>
}

/** Opens a pool of at most `max` connections as `account`. It connects when first used. */
export function openAdminPool(account: ServerAccount, max: number): AdminPool {
  const pool = new Pool({
    ...connectionOptions(account),
    max,
    idleTimeoutMillis: 10_000,
    query_timeout: poolQueryTimeoutMs,
  })
  // A connection that dies while idle is replaced; without a listener its error would end the process.
  pool.on('error', () => {})
  const end = createPoolEnder(pool)
  // The same for a connection that is checked out and between two queries.
  pool.on('connect', (client) => client.on('error', () => {}))
  return { pool, end }
}

/**
 * Opens a connection to one database, as `account`. `queryTimeoutMs`: longest wait for an answer. Default: none.
 * `settings`: settings that it starts with, `-c name=value`. Default: none.
 */
export async function openConnection(
  account: ServerAccount,
  queryTimeoutMs?: number,
  settings?: string,
): Promise<Client> {
  const client = new Client({ ...connectionOptions(account), query_timeout: queryTimeoutMs, options: settings })
  // The next query reports a backend that has died; without a listener the error would end the process.
  client.on('error', () => {})
  holdToChannelBinding(client, account)
  try {
    await client.connect()
  } catch (error) {
    // Without a password, pg gives up and leaves the connection open: it would keep the process until the server ends it.
    void client.end().catch(() => {})
    throw error
  }
  return client
}

/** Runs `work` on a connection of its own to one database, as `account`. */
export async function withConnection<Result>(
  account: ServerAccount,
  work: (client: Client) => Promise<Result>,
  settings?: string,
): Promise<Result> {
  const client = await openConnection(account, undefined, settings)
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Overrides `ALTER DATABASE … SET`, which is for tenants: it must not end or forbid our own work. */
const ownLimits = [
  'statement_timeout=0',
  'lock_timeout=0',
  'idle_in_transaction_session_timeout=0',
  'default_transaction_read_only=off',
]
  .map((setting) => `-c ${setting}`)
  .join(' ')

/**
 * Settings of a provisioning connection into a tenant's database. A role that may make objects there could make a function
 * or an operator that an unqualified name, or `=`, finds before PostgreSQL's own, and that would run with our rights.
 */
export const insideSettings = `${ownLimits} -c search_path=pg_catalog`

/** Opens a connection inside of a tenant's database; its search path is the database's own. */
export function openInside(account: ServerAccount, settings = ''): Promise<Client> {
  return openConnection(account, undefined, `${ownLimits} ${settings}`)
}

/**
 * Runs `work` on a connection of its own inside of a tenant's database, with the settings of {@link insideSettings}. RESET
 * gives the session the database's own search path, for SQL files of the application.
 */
export async function withConnectionInside<Result>(
  account: ServerAccount,
  work: (client: Client) => Promise<Result>,
  settings = '',
): Promise<Result> {
  return withConnection(
    account,
    async (client) => {
      await client.query('set search_path = pg_catalog')
      return work(client)
    },
    `${ownLimits} ${settings}`,
  )
}
