import { randomBytes } from 'node:crypto'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { Logger } from '../../core/logger.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import { openConnection } from '../../databases/server/admin-connection.js'

/** Options of {@link reportTrust}. */
export interface TrustReportOptions {
  readonly server: ServerAccount
  /** Name of the catalog database. */
  readonly catalog: string
  readonly records: Pick<TenantDatabaseRecords, 'findAny'>
  readonly logger: Logger
}

/**
 * Warns when the server lets roles in with any password (`trust` in its pg_hba.conf): whoever reaches its port can then act as
 * every tenant. It tries a random password, as the role of a tenant's database if there is one, else as the administrator.
 * Never fails: a server that cannot be reached is reported elsewhere.
 */
export async function reportTrust({ server, catalog, records, logger }: TrustReportOptions): Promise<void> {
  const database = await records.findAny().catch(() => undefined)
  const wrong = {
    ...server,
    user: database?.roleName ?? server.user,
    database: database?.name ?? catalog,
    password: randomBytes(24).toString('base64url'),
    connectTimeoutMs: 2000,
  }
  try {
    const client = await openConnection(wrong)
    await client.end()
  } catch {
    return
  }
  logger.warn(
    { host: server.host, port: server.port, role: wrong.user },
    `PostgreSQL on ${server.host}:${server.port} let the role ${wrong.user} in with a wrong password: whoever reaches the ` +
      'server is every tenant. Set scram-sha-256 instead of trust in its pg_hba.conf and reload it',
  )
}
