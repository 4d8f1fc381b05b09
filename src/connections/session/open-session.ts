import type pg from 'pg'
import { holdToChannelBinding } from '../../postgres/channel-binding.js'
import { identityQuery, type TenantDatabaseTarget } from '../../core/tenants/database-target.js'
import { TenancyError } from '../../core/errors/errors.js'
import { hasSqlState, sqlStates } from '../../postgres/sql-states.js'
import { ownCopy, type PgCopy } from './pg-copy.js'
import { scramMaxIterations } from './quick-scram.js'
import type { SessionClient } from './session-client.js'
import { sessionClientClass } from './session-client-class.js'

const closeTimeoutMs = 2000
const { undefinedTable, invalidSchemaName, insufficientPrivilege } = sqlStates

/** How {@link openSession} opens a connection. */
export interface SessionOptions {
  readonly timeoutMs: number
  readonly prepareStatements: boolean
  /** Default: false. */
  readonly transactionPooling?: boolean
  /** The copy of `pg` that makes the client. Default: the one that this package resolves. */
  readonly copy?: PgCopy
}

/**
 * Opens a connection and has it prove, by the identity row, that it is in the right database, at the right epoch and as
 * the right role.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_IDENTITY_MISMATCH
 */
export async function openSession(
  target: TenantDatabaseTarget,
  config: pg.ClientConfig,
  { timeoutMs, prepareStatements, transactionPooling = false, copy = ownCopy }: SessionOptions,
): Promise<SessionClient> {
  const { host, port, user, password, database, ssl, channelBinding, connectTimeoutMs, applicationName } =
    target.account
  const account = {
    ...{ host, port, user, password, database, ssl: ssl ?? false },
    ...(channelBinding === undefined ? {} : { enableChannelBinding: true }),
    ...(applicationName === undefined ? {} : { application_name: applicationName }),
  }
  const options = { keepAlive: true, scramMaxIterations, ...config, ...account }
  const client = new (sessionClientClass(copy))(options, prepareStatements)
  client.transactionPooling = transactionPooling
  holdToChannelBinding(client, target.account)
  const deadline = setTimeout(() => client.destroy(), Math.min(timeoutMs, connectTimeoutMs ?? timeoutMs))
  try {
    await client.connect()
    await proveIdentity(client, target)
    return client
  } catch (error) {
    await closeSession(client)
    throw error
  } finally {
    clearTimeout(deadline)
  }
}

/** Ends a connection, and breaks it if the server does not answer within 2 s. Resolves when it is closed. */
export async function closeSession(client: SessionClient): Promise<void> {
  const closeTimer = setTimeout(() => client.destroy(), closeTimeoutMs)
  closeTimer.unref()
  await client.end().catch(() => {})
  clearTimeout(closeTimer)
}

async function proveIdentity(client: SessionClient, target: TenantDatabaseTarget): Promise<void> {
  const expected = {
    database_id: target.databaseId,
    epoch: target.epoch,
    database_name: target.account.database,
    role_name: target.account.user,
    // A role's own settings are refused: they would outlive every reset.
    has_settings: false,
  }
  const rows = await readIdentity(client)
  const [row] = rows
  const wrong = Object.entries(expected).filter(([column, value]) => row?.[column] !== value)
  if (rows.length === 1 && wrong.length === 0) return
  throw new TenancyError(
    'TENANCY_DATABASE_IDENTITY_MISMATCH',
    rows.length === 1
      ? `The connection for tenant database ${target.databaseId} reached another one (${wrong.map(([column]) => column).join(', ')} differ); it was destroyed`
      : `The connection for tenant database ${target.databaseId} found ${rows.length} identity rows instead of 1; it was destroyed`,
  )
}

async function readIdentity(client: SessionClient): Promise<readonly Record<string, unknown>[]> {
  try {
    return await client.read(identityQuery)
  } catch (error) {
    if (hasSqlState(error, undefinedTable, invalidSchemaName, insufficientPrivilege)) return []
    throw error
  }
}
