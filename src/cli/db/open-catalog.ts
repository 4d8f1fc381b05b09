import type { CatalogPool } from '../../catalog/catalog-pool.js'
import type { Logger } from '../../core/logger.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { Tenancy } from '../../tenancy-interface.js'
import type { CommandContext } from '../context.js'
import { operatorName } from '../opening/operator.js'

/** What commands about databases need beside the functions of `tenancy`. */
export interface CatalogAccess {
  readonly tenancy: Tenancy
  /** The provisioning account. Holds a secret. */
  readonly account: ServerAccount
  /** Master secret, 32 bytes. */
  readonly secret: Buffer
  /** Connections to the catalog, whose entries of the audit log name the operator. */
  readonly catalog: CatalogPool
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** Opens the installation and its catalog, and runs `work` with both. */
export async function withCatalog<Result>(
  context: CommandContext,
  work: (access: CatalogAccess) => Promise<Result>,
): Promise<Result> {
  const { tenancy } = await context.open()
  const { createCatalogPool } = await import('../../catalog/catalog-pool.js')
  const { openServer } = await import('../../composition/opening/open-server.js')
  const { config } = tenancy
  const server = await openServer(config, silent)
  const catalog = createCatalogPool(
    { ...server.account, database: config.catalogDatabase },
    { operator: operatorName() },
  )
  try {
    return await work({ tenancy, account: server.account, secret: server.secret, catalog })
  } finally {
    await catalog.end()
    await server.close()
  }
}
