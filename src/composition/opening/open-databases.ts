import { createConnectionScheduler, type ConnectionScheduler } from '../../connections/scheduler.js'
import { type DatabaseNames, databaseIdOf, databaseNames } from '../../databases/database-names.js'
import { roleConnectionLimit } from '../../databases/server/role-limits.js'
import { createTenantDatabases, type TenantDatabases } from '../../databases/tenant-databases.js'
import { createServerWatcher } from '../../databases/watch/server-watcher.js'
import type { SchemaDemands } from '../../core/tenants/schema-demands.js'
import { createSchemaDemands } from '../schema-demands.js'
import { createTenantConnections, type TenantConnections } from '../tenant-connections.js'
import type { OpenCatalog } from './open-catalog.js'
import { openPooler } from './open-pooler.js'
import type { Opening } from './opening.js'
import { reportTrust } from './report-trust.js'

/** The second step of opening an installation: the tenants' databases, and the connections to them. */
export interface OpenDatabases {
  readonly databases: TenantDatabases
  /** How the installation's tenant databases and roles are called. */
  readonly names: DatabaseNames
  readonly scheduler: ConnectionScheduler
  readonly schema: SchemaDemands
  readonly connections: TenantConnections
}

const nothingDemanded = { minimum: undefined, maximum: undefined, versionOf: () => undefined }

/**
 * Builds the template, starts filling the stock, reconciling and watching the server, and opens the connection scheduler.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_*, TENANCY_DATABASE_BUILD_FAILED, TENANCY_POOLER_UNFIT,
 *   TENANCY_CONFIG_INVALID (the range of schemas)
 */
export async function openDatabases(
  { config, logger, closing, schemaDir, extensions, minimumSchema, maximumSchema, pg, purpose }: Opening,
  { server, catalog, catalogAccount, records }: OpenCatalog,
): Promise<OpenDatabases> {
  const isServing = purpose === 'serve'
  const names = databaseNames(config.databasePrefix)
  const databases = createTenantDatabases({
    records,
    // Locks are held in the catalog, where no tenant can connect.
    server: catalogAccount,
    prefix: config.databasePrefix,
    secret: server.secret,
    schemaDir: schemaDir ?? config.schemaDir,
    extensions,
    schemaBehind: config.schemaBehind,
    minimumSchema,
    maximumSchema,
    schemaLockTimeoutMs: config.schemaLockTimeoutMs,
    // What a short-lived process builds for the stock would only be left unfinished.
    readyTarget: isServing ? config.readyDatabases : 0,
    roleConnectionLimit: roleConnectionLimit(config.maxTenantConnections, config.processes),
    tempFileLimitMb: config.tempFileLimitMb,
    isHardened: config.isHardened,
    tenantAddress: config.pooler,
    logger,
  })
  closing.add(() => databases.close())
  // Only of a configured server: the embedded one's pg_hba.conf is ours.
  const trust =
    isServing &&
    config.server &&
    reportTrust({ server: server.account, catalog: config.catalogDatabase, records, logger })
  // Builds the template now, so that a bad schema folder fails the start and not the first tenant.
  if (purpose !== 'administer') await databases.templateVersion()
  // Only requests ask for a version: a folder that cannot be read must not keep an operator from the catalog.
  const { versionOf, ...range } = purpose === 'administer' ? nothingDemanded : await databases.schemaRange()
  if (isServing) {
    databases.refill()
    databases.keepReconciled()
  }
  if (isServing && config.watch.intervalMs > 0) {
    const watcher = createServerWatcher({
      ...config.watch,
      account: catalogAccount,
      databaseOf: (roleName) => databaseIdOf(names, roleName),
      tenantOf: async (databaseId) => (await records.tenantsOf([databaseId]))[0],
      processes: config.processes,
      logger,
    })
    closing.add(() => watcher.close())
    watcher.start()
  }
  await trust

  const poolMode = config.pooler && (await openPooler({ server: catalog, records, databases }))
  const scheduler = createConnectionScheduler({
    maxConnections: config.maxConnections,
    maxConnectionsPerTenant: config.maxTenantConnections,
    prepareStatements: config.prepareStatements && poolMode === undefined,
    transactionPooling: poolMode === 'transaction',
    throughPooler: poolMode !== undefined,
    pg,
    // The key of a tenant's connections is the id of its database.
    restoreRole: (databaseId) => databases.restoreRole(databaseId),
    logger,
  })
  closing.add(() => scheduler.close())
  const schema = createSchemaDemands({ records, databases, versionOf, range })
  return {
    databases,
    names,
    scheduler,
    schema,
    connections: createTenantConnections({ scheduler, records, databases }),
  }
}
