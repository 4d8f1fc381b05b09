import { Client, DatabaseError, type PoolConfig } from 'pg'
import { clientOf, holdToChannelBinding } from '../core/channel-binding.js'
import type { ServerAccount } from '../core/database-target.js'

/** How `pg` takes an account. */
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
  // A backend that dies between two queries is seen by the next query; without a listener it would end the process.
  client.on('error', () => {})
  holdToChannelBinding(client, account)
  await client.connect()
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

/** SQLSTATE of an error that PostgreSQL raised, or undefined. */
export function sqlStateOf(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined
}
