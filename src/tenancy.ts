import { CompiledRuleSet, createAccessRules, devAccess, problemOfTemplate, prodAccess } from './access/index.js'
import { createCoherence } from './cache/coherence.js'
import { createDirectoryCache } from './cache/directory-cache.js'
import { createRequestContexts } from './cache/request-contexts.js'
import { createRedisTier } from './cache/redis.js'
import { createAccessExplainer } from './catalog/access/explain.js'
import { seedAccess } from './catalog/access/seed.js'
import { createAccessAdministration } from './catalog/access/administration.js'
import { keepAnchored } from './catalog/audit/anchors.js'
import { recordIssuedToken } from './catalog/audit/issued-tokens.js'
import { createAuditLog } from './catalog/audit/audit-log.js'
import { createCatalogPool, maxCatalogConnections } from './catalog/catalog-pool.js'
import { createChangeLog } from './catalog/change-log.js'
import { createMemberDirectory } from './catalog/members/member-directory.js'
import { createMemberships } from './catalog/members/memberships.js'
import { migrateCatalog } from './catalog/migrate.js'
import { createRuleSetReader } from './catalog/access/rule-set-reader.js'
import { createSigningKeyStore } from './catalog/signing-keys.js'
import { createTenantDatabaseRecords } from './catalog/tenants/tenant-databases.js'
import { createTenants } from './catalog/tenants/tenants.js'
import { createUserDirectory } from './catalog/users/users.js'
import { readActivity } from './composition/activity.js'
import { createAccountsHost } from './composition/accounts-host.js'
import { createClosing } from './composition/closing.js'
import { createHealth } from './composition/health.js'
import { createManagement } from './composition/management.js'
import { openPooler } from './composition/open-pooler.js'
import { openServer } from './composition/open-server.js'
import { readStats } from './composition/stats.js'
import { reportTrust } from './composition/report-trust.js'
import { createTenantConnections } from './composition/tenant-connections.js'
import { pgCopyOf } from './connections/session/pg-copy.js'
import { createConnectionScheduler } from './connections/scheduler.js'
import type { AccessDefinition, Member } from './core/access/access.js'
import { deriveLockKey } from './postgres/advisory-lock.js'
import { type Config, loadConfig } from './core/config/config.js'
import { wholeConfig } from './core/config/config-secrets.js'
import { TenancyError } from './core/errors/errors.js'
import { type Logger, stderrLogger } from './core/logger.js'
import type { PgModule } from './core/tenants/pg-module.js'
import { parseTenantRef } from './core/tenants/slug.js'
import { bindSecret } from './databases/server/bind-secret.js'
import { ensureCatalogDatabase } from './databases/server/catalog-database.js'
import { checkConnectionBudget } from './databases/server/connection-budget.js'
import { roleConnectionLimit } from './databases/server/role-limits.js'
import { databaseIdOf, databaseNames } from './databases/database-names.js'
import { createTenantDatabases, maxBuilderConnections } from './databases/tenant-databases.js'
import { createServerWatcher } from './databases/watch/server-watcher.js'
import { createRequestPipeline } from './http/pipeline.js'
import { createSigningKeys } from './identity/keys/signing-keys.js'
import { createTokenVerifier } from './identity/token-verifier.js'
import { createTenantResolver } from './resolve/tenant-resolver.js'
import type { Tenancy } from './tenancy-interface.js'

/** Options of {@link createTenancy}. All have defaults. */
export interface CreateTenancyOptions {
  /** Default: {@link loadConfig}: `TENANT_*` from the environment over `.env`. */
  readonly config?: Config
  /** The application's permissions, route rules and roles. Default: the shipped seed of `TENANT_SEED_PROFILE`. */
  readonly access?: AccessDefinition
  /** Folder of numbered SQL files (`0001_name.sql`): every tenant's schema. Default: `TENANT_SCHEMA_DIR`. */
  readonly schemaDir?: string
  /** Whoever is a member of several tenants has to name one. Default: `TENANT_REQUIRE_NAMED_TENANT`. */
  readonly requireNamedTenant?: boolean
  /** A pino or Fastify logger. Default: warnings and errors as JSON lines on standard error. */
  readonly logger?: Logger
  /**
   * The application's copy of `pg` (8.11 or newer): tenants' pools and clients are instances of its `Pool` and `Client`. Needed
   * when another copy than this package's is what an ORM knows. Default: the copy that this package resolves.
   */
  readonly pg?: PgModule
}

/**
 * Opens an installation: its server (the embedded one if none is configured), its catalog, migrated and seeded, and the
 * stock of ready databases. Close it with `tenancy.close()`.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID, TENANCY_CONFIG_SECRET_MISMATCH, TENANCY_CONFIG_PEER_MISSING,
 *   TENANCY_CATALOG_*, TENANCY_EMBEDDED_*, TENANCY_DATABASE_SCHEMA_*, TENANCY_CONNECTION_BUDGET_TOO_LARGE,
 *   TENANCY_POOLER_UNFIT; whatever was opened is closed again
 * @example
 * const tenancy = await createTenancy()
 * await app.register(tenancyPlugin, { tenancy })
 */
export async function createTenancy(options: CreateTenancyOptions = {}): Promise<Tenancy> {
  const { logger = stderrLogger } = options
  const config = options.config === undefined ? loadConfig() : wholeConfig(options.config)
  if (options.pg !== undefined) pgCopyOf(options.pg)
  const closing = createClosing()
  try {
    return await open(options, config, logger, closing)
  } catch (error) {
    // The first error is the one to report; what fails to close after it adds nothing.
    await closing.close().catch(() => {})
    throw error
  }
}

async function open(
  options: CreateTenancyOptions,
  config: Config,
  logger: Logger,
  closing: ReturnType<typeof createClosing>,
): Promise<Tenancy> {
  const server = await openServer(config, logger)
  closing.add(() => server.close())
  const { secret } = server

  const catalogAccount = await ensureCatalogDatabase(server.account, config.catalogDatabase)
  const catalog = createCatalogPool(catalogAccount)
  closing.add(() => catalog.end())
  await checkConnectionBudget(catalog, {
    tenants: config.pooler === undefined ? config.maxConnections : 0,
    catalog: maxCatalogConnections,
    listen: config.changesBy === 'listen' ? 1 : 0,
    watch: config.watch.intervalMs > 0 ? 1 : 0,
    builder: maxBuilderConnections,
    processes: config.processes,
  })
  await migrateCatalog(catalog, undefined, { key: deriveLockKey(secret, 'catalog migrations') })
  await bindSecret(catalog, secret)
  // A profile stands in where there is no definition of the application's, and takes nothing from one.
  const profile = { ...(config.seedProfile === 'dev' ? devAccess : prodAccess), version: 0 }
  await seedAccess(catalog, options.access ?? profile)

  const records = createTenantDatabaseRecords(catalog)
  const databases = createTenantDatabases({
    records,
    // Locks are held in the catalog, where no tenant can connect.
    server: catalogAccount,
    prefix: config.databasePrefix,
    secret,
    schemaDir: options.schemaDir ?? config.schemaDir,
    schemaBehind: config.schemaBehind,
    schemaLockTimeoutMs: config.schemaLockTimeoutMs,
    readyTarget: config.readyDatabases,
    roleConnectionLimit: roleConnectionLimit(config.maxTenantConnections, config.processes),
    tempFileLimitMb: config.tempFileLimitMb,
    isHardened: config.isHardened,
    tenantAddress: config.pooler,
    logger,
  })
  closing.add(() => databases.close())
  // Of the embedded server we know how it lets people in.
  const trust =
    config.server && reportTrust({ server: server.account, catalog: config.catalogDatabase, records, logger })
  // Builds the template now, so that a bad schema folder fails the start and not the first tenant.
  await databases.templateVersion()
  databases.refill()
  databases.keepReconciled()
  const names = databaseNames(config.databasePrefix)
  if (config.watch.intervalMs > 0) {
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
    pg: options.pg,
    // The key of a tenant's connections is the id of its database.
    restoreRole: (databaseId) => databases.restoreRole(databaseId),
    logger,
  })
  closing.add(() => scheduler.close())
  const connections = createTenantConnections({ scheduler, records, databases })

  const { audience, issuer, ttlSeconds } = config.token
  const coherence = createCoherence({
    connect: () => catalog.connectAlone(),
    changes: createChangeLog(catalog),
    changesBy: config.changesBy,
    maxStalenessMs: config.maxStalenessMs,
    logger,
  })
  closing.add(() => coherence.close())
  const keys = createSigningKeys({
    store: createSigningKeyStore(catalog),
    secret,
    issuer,
    audience,
    changes: coherence,
    logger,
  })
  coherence.subscribe({ keys: () => keys.invalidate(), all: () => keys.invalidate() })
  const verifier = createTokenVerifier({ own: { issuer, audience, keys }, issuers: config.oidcIssuers, logger })
  const users = createUserDirectory(catalog, { issuers: config.oidcIssuers, logger })
  const rules = createAccessRules(createRuleSetReader(catalog), options.access)
  await rules.refresh()

  const installationId = await records.installationId()
  const redis =
    config.redis && (await createRedisTier({ ...config.redis, url: config.redis.url, installationId, secret, logger }))
  if (redis) closing.add(() => redis.close())
  const { requireNamedTenant = config.requireNamedTenant } = options
  const members = createMemberDirectory(catalog, { requireNamedTenant })
  const cache = createDirectoryCache({ users, members, coherence, redis })
  closing.add(() => cache.close())

  const health = createHealth({
    catalog,
    pingServer: () => databases.ping(),
    pooler: config.pooler,
    redis,
    coherence,
    readyTarget: config.readyDatabases,
  })
  const pipeline = createRequestPipeline({
    verifier,
    cache,
    contexts: createRequestContexts(),
    rules,
    resolver: createTenantResolver({ members: cache, baseDomain: config.baseDomain, requireNamedTenant }),
    pools: (member) => () => connections.pool(member.tenant),
  })
  closing.add(keepAnchored({ catalog, logger }))
  const management = createManagement({
    tenants: createTenants({ catalog, databases, retentionDays: config.retentionDays }),
    memberships: createMemberships({ catalog }),
    access: {
      ...createAccessAdministration({ catalog, problemOfTemplate }),
      ...createAccessExplainer({
        catalog,
        findRule: (ruleSet, method, path) => new CompiledRuleSet(ruleSet).matchTemplate(method, path)?.rule,
      }),
    },
    audit: createAuditLog(catalog),
    users,
    // What this process changes, it does not wait to hear of.
    forget: (id) => cache.invalidate(id),
    disconnect: (tenant) => connections.disconnect(tenant),
  })
  const signAccessToken = async (userId: string, tenant: string | undefined) => {
    const { tokenEpoch } = await management.readUser(userId)
    return keys.issueAccessToken({ userId, epoch: tokenEpoch, tenant, ttlSeconds })
  }
  const issueAccessToken: Tenancy['issueAccessToken'] = async ({ id: userId }, { tenant, actor } = {}) => {
    if (tenant !== undefined && (typeof tenant !== 'string' || parseTenantRef(tenant) === undefined)) {
      const given = typeof tenant === 'string' ? JSON.stringify(tenant.slice(0, 60)) : typeof tenant
      throw new TenancyError(
        'TENANCY_TENANT_NOT_FOUND',
        `${given} is neither the id nor the slug of a tenant: check it`,
      )
    }
    const issued = await signAccessToken(userId, tenant)
    const { tokenId, expiresIn } = issued
    await recordIssuedToken(catalog, { userId, tokenId, tenant, expiresIn, actor })
    return issued
  }
  return {
    ...management,
    config,
    serverDescription: server.description,
    pipeline,
    rules,
    urlPrefix: config.urlPrefix,
    authPrefix: config.authPrefix,
    jwks: () => keys.jwks(),
    issueAccessToken,
    rotateSigningKeys: (rotation) => keys.rotate(rotation),
    createTenantDatabase: () => databases.createTenantDatabase(),
    fillStock: () => databases.fillStock(),
    async initializeTenantSchema(tenant) {
      const applied = await databases.initializeTenantSchema(tenant)
      // What they know of the database's code is of before.
      if (applied.length > 0) connections.disconnect(tenant)
      return applied
    },
    reconcile: () => databases.reconcile(),
    getTenantPool: (tenant) => connections.pool(tenant),
    async runWithTenant(tenant, callback) {
      return await connections.runWithTenant(await management.getTenant(tenant), callback)
    },
    can: (member: Member | undefined, permissionOrMethod: string, path?: string) =>
      member !== undefined &&
      (path === undefined
        ? rules.can(member.access, permissionOrMethod)
        : rules.can(member.access, permissionOrMethod, path)),
    permissionsOf: (member) => (member === undefined ? [] : rules.permissionsOf(member.access)),
    accountsHost: () =>
      createAccountsHost({
        config,
        logger,
        catalog,
        secret,
        pipeline,
        issueAccessToken: (user, { isRefresh = false } = {}) =>
          isRefresh ? signAccessToken(user.id, undefined) : issueAccessToken(user, { actor: user.id }),
        forgetUser: (id) => cache.invalidate(id),
        onClose: (close) => closing.add(close),
      }),
    stats: () => readStats(scheduler, redis),
    activity: (request) => readActivity({ server: catalog, records, names, users: () => scheduler.users() }, request),
    health: () => health.read(),
    close() {
      health.closing()
      return closing.close().finally(() => health.closed())
    },
  }
}
