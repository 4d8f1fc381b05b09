import { hkdfSync } from 'node:crypto'
import type { Config } from '../../core/config/config.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import { withConnection } from '../../databases/server/admin-connection.js'

/** The PostgreSQL server of an installation, opened. */
export interface OpenServer {
  readonly account: ServerAccount
  /** 32 bytes. */
  readonly secret: Buffer
  /** For people: which server it is, without an account. */
  readonly description: string
  close(): Promise<void>
}

/**
 * Opens the configured server, or starts the embedded one when none is configured.
 *
 * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE, TENANCY_EMBEDDED_*
 */
export async function openServer(config: Config, logger: Logger): Promise<OpenServer> {
  if (config.server) {
    const { host, port, password } = config.server
    // The password of a config is not enumerable: spreading leaves it out.
    const account = { ...config.server, password }
    const secret = config.secret ?? (await developmentSecret(account, logger))
    return { account, secret, description: `PostgreSQL on ${host}:${port}`, close: async () => {} }
  }
  const { startEmbeddedServer } = await import('../../databases/embedded/index.js')
  const embedded = await startEmbeddedServer({ dataDir: config.dataDir, logger })
  try {
    const secret = config.secret ?? (await developmentSecret(embedded.account, undefined))
    const description = `embedded PostgreSQL in ${config.dataDir}`
    return { account: embedded.account, secret, description, close: () => embedded.stop() }
  } catch (error) {
    await embedded.stop()
    throw error
  }
}

/**
 * Derives the master secret of development, where none is configured, from the superuser's password, whose owner has
 * everything anyway, and from the server's identifier, so that no two servers share a secret. One server gives the same
 * secret at every start. `loadConfig` does not let production, or a server on another machine, come here without one.
 */
async function developmentSecret(account: ServerAccount, logger: Logger | undefined): Promise<Buffer> {
  try {
    const { rows } = await withConnection(account, (client) =>
      client.query<{ identifier: string }>('select system_identifier::text as identifier from pg_control_system()'),
    )
    logger?.warn({}, 'No TENANT_SECRET: a development secret is derived from the superuser password')
    const identifier = rows[0]?.identifier ?? ''
    return Buffer.from(hkdfSync('sha256', account.password, identifier, 'tenants2fast development secret', 32))
  } catch (cause) {
    throw new TenancyError(
      'TENANCY_CATALOG_UNAVAILABLE',
      `The PostgreSQL server on ${account.host}:${account.port} cannot be reached as the configured account: ` +
        (cause instanceof Error ? cause.message : String(cause)),
      { cause },
    )
  }
}
