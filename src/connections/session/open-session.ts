import type pg from 'pg'
import { holdToChannelBinding } from '../../postgres/scram/channel-binding.js'
import { identityQuery, type ServerAccount, type TenantDatabaseTarget } from '../../core/tenants/database-target.js'
import { TenancyError } from '../../core/errors/errors.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { ownCopy, type PgCopy } from './client/pg-copy.js'
import { scramMaxIterations } from './quick-scram.js'
import type { SessionClient } from './client/session-client.js'
import { sessionClientClass } from './client/session-client-class.js'

const closeTimeoutMs = 2000
const { undefinedTable, invalidSchemaName, insufficientPrivilege } = sqlStates

/** How {@link openSession} opens a connection. */
export interface SessionOptions {
  readonly timeoutMs: number
  readonly prepareStatements: boolean
  /** Default: false. */
  readonly transactionPooling?: boolean
  /** A pooler is in between, which may not expect the next message before it has answered the last. Default: false. */
  readonly throughPooler?: boolean
  /** The copy of `pg` that makes the client. Default: the one that this package resolves. */
  readonly copy?: PgCopy
}

/**
 * Opens a connection and has it prove, by the identity row, that it is in the right database, at the right epoch and as
 * the right role.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_IDENTITY_MISMATCH
 */
export function openSession(
  target: TenantDatabaseTarget,
  config: pg.ClientConfig,
  options: SessionOptions,
): Promise<SessionClient> {
  return beginSession(target.account, config, options).prove(target)
}

/** A connection under way. Nobody gets it before its answer to the identity query was compared. */
export interface UnprovenSession {
  readonly account: ServerAccount
  /**
   * Waits for the answer, compares it with what is expected, and closes the connection if it differs.
   *
   * @throws {@link TenancyError} TENANCY_DATABASE_IDENTITY_MISMATCH
   */
  prove(target: TenantDatabaseTarget): Promise<SessionClient>
  /** Breaks the connection. */
  discard(): void
}

/** Begins to open a connection, and asks it for its identity. */
export function beginSession(
  account: ServerAccount,
  config: pg.ClientConfig,
  options: SessionOptions,
): UnprovenSession {
  const client = createClient(account, config, options)
  const answer = connectAndAsk(client, account, options)
  // Whoever proves it gets the error.
  answer.catch(() => {})
  return {
    account,
    async prove(target) {
      const mismatch = mismatchOf(await answer, target)
      if (mismatch === undefined) return client
      await closeSession(client)
      throw mismatch
    },
    discard: () => client.destroy(),
  }
}

function createClient(account: ServerAccount, config: pg.ClientConfig, settings: SessionOptions): SessionClient {
  const { prepareStatements, transactionPooling = false, copy = ownCopy } = settings
  const { host, port, user, password, database, ssl, channelBinding, applicationName } = account
  const address = {
    ...{ host, port, user, password, database, ssl: ssl ?? false },
    ...(channelBinding === undefined ? {} : { enableChannelBinding: true }),
    ...(applicationName === undefined ? {} : { application_name: applicationName }),
  }
  const options = { keepAlive: true, scramMaxIterations, ...config, ...address }
  const client = new (sessionClientClass(copy))(options, prepareStatements)
  client.transactionPooling = transactionPooling
  holdToChannelBinding(client, account)
  return client
}

async function connectAndAsk(
  client: SessionClient,
  { connectTimeoutMs }: ServerAccount,
  { timeoutMs, throughPooler = false }: SessionOptions,
): Promise<IdentityRows> {
  const deadline = setTimeout(() => client.destroy(), Math.min(timeoutMs, connectTimeoutMs ?? timeoutMs))
  try {
    const identity = client.readFirst(identityQuery, !throughPooler)
    const [, rows] = await Promise.all([client.connect(), identity.catch(withoutIdentity)])
    return rows
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

type IdentityRows = readonly Record<string, unknown>[]

function mismatchOf(rows: IdentityRows, target: TenantDatabaseTarget): TenancyError | undefined {
  const expected = {
    database_id: target.databaseId,
    epoch: target.epoch,
    database_name: target.account.database,
    role_name: target.account.user,
    // A role's own settings are refused: they would outlive every reset.
    has_settings: false,
  }
  const [row] = rows
  const wrong = Object.entries(expected).filter(([column, value]) => row?.[column] !== value)
  if (rows.length === 1 && wrong.length === 0) return undefined
  return new TenancyError(
    'TENANCY_DATABASE_IDENTITY_MISMATCH',
    rows.length === 1
      ? `The connection for tenant database ${target.databaseId} reached another one (${wrong.map(([column]) => column).join(', ')} differ); it was destroyed`
      : `The connection for tenant database ${target.databaseId} found ${rows.length} identity rows instead of 1; it was destroyed`,
  )
}

function withoutIdentity(error: unknown): IdentityRows {
  if (hasSqlState(error, undefinedTable, invalidSchemaName, insufficientPrivilege)) return []
  throw error
}
