import type { z } from 'zod'
import { checkedExtensions } from './core/config/extension-names.js'
import { refuseUnknownOptions } from './core/config/unknown-options.js'
import { parse } from './catalog/input.js'
import { readSettingsSchema } from './catalog/settings/settings-schema.js'
import { type DomainOptions, domainOptions } from './catalog/domains/domain-options.js'
import { readAdministrator } from './catalog/users/administrator-record.js'
import { createAccessTokens } from './composition/access-tokens.js'
import { createAccountsHost } from './composition/accounts-host.js'
import { createPlatformTokens } from './composition/platform-tokens.js'
import { readActivity } from './composition/observing/activity.js'
import { readStats } from './composition/observing/stats.js'
import { refuseImpersonators } from './composition/refuse-impersonation.js'
import { createClosing } from './composition/opening/closing.js'
import { openBackups } from './composition/opening/open-backups.js'
import { openCatalog } from './composition/opening/open-catalog.js'
import { openCatalogReader } from './composition/opening/open-catalog-reader.js'
import { openDatabases } from './composition/opening/open-databases.js'
import { openExports } from './composition/opening/open-exports.js'
import { openFleet } from './composition/opening/open-fleet.js'
import { openManagement } from './composition/opening/open-management.js'
import { openRequestPath } from './composition/opening/open-request-path.js'
import type { Opening } from './composition/opening/opening.js'
import { pgCopyOf } from './connections/session/client/pg-copy.js'
import type { DatabaseAdoption } from './core/backup/adopt.js'
import type { Backups } from './core/backup/backup.js'
import type { ExportsOptions, TenantExports } from './core/backup/exports.js'
import type { AccessDefinition, Member } from './core/access/access.js'
import type { Actor } from './core/context/current.js'
import type { Config } from './core/config/config.js'
import { loadConfig } from './core/config/load-config.js'
import { wholeConfig } from './core/config/config-secrets.js'
import type { Fleet } from './core/fleet/fleet.js'
import type { Seed } from './core/fleet/fleet-seed.js'
import { type Logger, stderrLogger } from './core/logger.js'
import type { SchemaSource } from './core/tenants/migration.js'
import type { PgModule } from './core/tenants/pg-module.js'
import { createClientAddress } from './http/client-address.js'
import {
  activityOptions,
  adoptDatabaseInput,
  backupInput,
  exportsOptions,
  fleetAcceptOptions,
  fleetCheckOptions,
  fleetExecOptions,
  fleetMigrateOptions,
  fleetRehearseOptions,
  fleetSeedOptions,
  fleetRevertOptions,
  fleetStatusOptions,
  issueAccessTokenInput,
  requireCallback,
  restoreInput,
  rotateSigningKeysInput,
  runWithTenantInput,
  swapBackInput,
  seedFunctions,
  schemaSource,
} from './tenancy-input.js'
import type { Tenancy } from './tenancy-interface.js'

/** Options of {@link createTenancy}. All have defaults. */
export interface CreateTenancyOptions {
  /** Default: {@link loadConfig}: `TENANT_*` from the environment over `.env`. */
  readonly config?: Config
  /** The application's permissions, route rules and roles. Default: the shipped seed of `TENANT_SEED_PROFILE`. */
  readonly access?: AccessDefinition
  /**
   * Every tenant's schema: a folder of migrations in plain SQL or of drizzle-kit, Prisma or Kysely, or a list of functions.
   * Default: `schemaDir`.
   *
   * @example
   * createTenancy({ schema: { dir: 'prisma/migrations', kind: 'prisma' } })
   */
  readonly schema?: SchemaSource
  /** Folder of migrations, of a kind that is detected: every tenant's schema. Default: `TENANT_SCHEMA_DIR`. */
  readonly schemaDir?: string
  /** Folder of seeds for `fleet.seed`: `*.sql`, `dev/*.sql`, `prod/*.sql`. Default: `TENANT_SEED_DIR`. */
  readonly seedDir?: string
  /** Seeds in TypeScript for `fleet.seed`, after the files, in this order. Default: none. */
  readonly seeds?: readonly Seed[]
  /**
   * Extensions of every tenant database, created by the administrator before the schema files run: `['citext', 'pg_trgm']`.
   * Default: `TENANT_EXTENSIONS`.
   */
  readonly extensions?: readonly string[]
  /**
   * Id of the oldest migration, such as `0007_orders_note.sql`, that a tenant's schema must have to be served: requests for
   * an older one are answered 503 with `Retry-After`. Default: what `TENANT_SCHEMA_BEHIND` says.
   */
  readonly minimumSchema?: string
  /** Id of the newest migration that a tenant's schema may have to be served; requests for a newer one get 503. Default: any. */
  readonly maximumSchema?: string
  /** Whoever is a member of several tenants has to name one. Default: `TENANT_REQUIRE_NAMED_TENANT`. */
  readonly requireNamedTenant?: boolean
  /** Hosts and e-mail domains of tenants. Default: hosts name no tenant; see {@link DomainOptions}. */
  readonly domains?: DomainOptions
  /** A pino or Fastify logger. Default: warnings and errors as JSON lines on standard error. */
  readonly logger?: Logger
  /**
   * The application's copy of `pg` (8.11 or newer): tenants' pools and clients are instances of its `Pool` and `Client`. Needed
   * when another copy than this package's is what an ORM knows. Default: the copy that this package resolves.
   */
  readonly pg?: PgModule
  /**
   * Schema of the settings that each tenant has: an object of zod that takes `{}`, with defaults for new tenants. Fields marked
   * by `secret(…)` are stored sealed. Default: tenants have no settings.
   *
   * @example
   * createTenancy({ tenantSettings: z.object({ theme: z.string().default('light'), smtpPassword: secret(z.string()).optional() }) })
   */
  readonly tenantSettings?: z.ZodObject
  /**
   * Lets Owners and administrators of the platform export tenants (`startTenantExport`, the management API). Default: nobody
   * can.
   *
   * @example
   * createTenancy({ exports: { folder: '/srv/exports', encryptTo: process.env.BACKUP_KEY } })
   */
  readonly exports?: ExportsOptions | undefined
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
export function createTenancy(options: CreateTenancyOptions = {}): Promise<Tenancy> {
  return openTenancy(options, { purpose: 'serve', operator: undefined })
}

/** Opens an installation as {@link createTenancy} does, for a purpose: for the command line. */
export async function openTenancy(
  options: CreateTenancyOptions,
  how: Pick<Opening, 'purpose' | 'operator'>,
): Promise<Tenancy> {
  const opening = readOpening(options, how)
  try {
    return await open(opening)
  } catch (error) {
    // The first error is the one to report; what fails to close after it adds nothing.
    await opening.closing.close().catch(() => {})
    throw error
  }
}

const optionNames: Readonly<Record<keyof CreateTenancyOptions, true>> = {
  ...{ config: true, access: true, schema: true, schemaDir: true, seedDir: true, seeds: true, extensions: true },
  ...{ minimumSchema: true, maximumSchema: true, requireNamedTenant: true, domains: true, logger: true, pg: true },
  ...{ tenantSettings: true, exports: true },
}

/** Checks the options of {@link createTenancy}, and fills in their defaults. Opens nothing. */
export function readOpening(options: CreateTenancyOptions, how: Pick<Opening, 'purpose' | 'operator'>): Opening {
  refuseUnknownOptions('createTenancy', options, Object.keys(optionNames))
  const {
    access,
    schemaDir,
    seedDir,
    minimumSchema,
    maximumSchema,
    logger = stderrLogger,
    pg,
    tenantSettings,
  } = options
  const config = options.config === undefined ? loadConfig() : wholeConfig(options.config)
  const { requireNamedTenant = config.requireNamedTenant } = options
  const schema = options.schema && parse(schemaSource, options.schema, 'schema')
  const extensions = options.extensions === undefined ? config.extensions : checkedExtensions(options.extensions)
  const exports = options.exports && parse(exportsOptions, options.exports, 'exports')
  const seeds = options.seeds === undefined ? [] : parse(seedFunctions, options.seeds, 'seeds')
  const domains = options.domains === undefined ? {} : parse(domainOptions, options.domains, 'domains')
  if (pg !== undefined) pgCopyOf(pg)
  // A schema that cannot serve is refused before anything is opened.
  if (tenantSettings !== undefined) readSettingsSchema(tenantSettings)
  return {
    ...{ config, logger, access, schema, schemaDir, seedDir, seeds, extensions, minimumSchema, maximumSchema },
    ...{ requireNamedTenant, domains, pg, tenantSettings, exports, closing: createClosing() },
    ...how,
  }
}

/** What {@link openManagement} does not give, and an administrator who acts as a member may not call either. */
type GuardedFunctions = Backups &
  TenantExports &
  DatabaseAdoption &
  Pick<Tenancy, 'purgeTenant' | 'issueAccessToken' | 'rotateSigningKeys' | 'createTenantDatabase' | 'fillStock'> &
  Pick<Tenancy, 'initializeTenantSchema' | 'fleet' | 'reconcile'>

async function open(opening: Opening): Promise<Tenancy> {
  const openedCatalog = await openCatalog(opening)
  const openedDatabases = await openDatabases(opening, openedCatalog)
  const requestPath = await openRequestPath(opening, openedCatalog, openedDatabases)
  const { readUser, ...management } = openManagement(opening, openedCatalog, openedDatabases, requestPath)

  const { config, logger, closing } = opening
  const { server, catalog, records } = openedCatalog
  const { databases, names, scheduler, schema, connections } = openedDatabases
  const { keys, platformVerifier, rules, redis, cache, pipeline, health } = requestPath
  const { ttlSeconds, platformTtlSeconds } = config.token
  const fleet = openFleet(opening, openedCatalog, openedDatabases)
  const backups = openBackups(opening, openedCatalog, openedDatabases, requestPath)
  const clientAddress = createClientAddress(config.trustedProxies)
  const reader = await openCatalogReader(opening, openedCatalog)
  const exports = await openExports(opening, openedCatalog, backups)
  const tokens = createAccessTokens({ catalog, keys, readUser, ttlSeconds })
  const platformTokens = createPlatformTokens({
    ...{ catalog, keys, verifier: platformVerifier, ttlSeconds: platformTtlSeconds },
    readAdministrator: (id) => readAdministrator(catalog, id),
  })

  const operations = refuseImpersonators<GuardedFunctions>({
    ...exports.functions,
    async purgeTenant(input) {
      await management.purgeTenant(input)
      exports.tenantPurged()
    },
    async issueAccessToken(input) {
      return tokens.issue(parse(issueAccessTokenInput, input))
    },
    async rotateSigningKeys(input = {}) {
      const { withdraw, actor } = parse(rotateSigningKeysInput, input)
      await keys.rotate({ withdraw, actor: actor ?? undefined })
    },
    createTenantDatabase: () => databases.createTenantDatabase(),
    fillStock: () => databases.fillStock(),
    async initializeTenantSchema(idOrSlug) {
      const tenant = await management.getTenant(idOrSlug)
      const applied = await databases.initializeTenantSchema(tenant)
      // Open connections remember the database's code as it was before.
      if (applied.length > 0) connections.disconnect(tenant)
      return applied
    },
    fleet: refuseImpersonators<Fleet>({
      migrate: async (options = {}) => fleet.migrate(parse(fleetMigrateOptions, options)),
      rehearse: async (options = {}) => fleet.rehearse(parse(fleetRehearseOptions, options)),
      lastRehearsal: () => fleet.lastRehearsal(),
      revert: async (options) => fleet.revert(parse(fleetRevertOptions, options)),
      acceptChecksum: async (options) => fleet.acceptChecksum(parse(fleetAcceptOptions, options)),
      status: async (options = {}) => fleet.status(parse(fleetStatusOptions, options)),
      check: async (options = {}) => fleet.check(parse(fleetCheckOptions, options)),
      seed: async (options = {}) => fleet.seed(parse(fleetSeedOptions, options)),
      exec: async (options) => fleet.exec(parse(fleetExecOptions, options)),
    }),
    backup: async (input) => backups.backup(parse(backupInput, input)),
    restore: async (input) => backups.restore(parse(restoreInput, input)),
    swapBack: async (input) => backups.swapBack(parse(swapBackInput, input)),
    adoptDatabase: async (input) => backups.adoptDatabase(parse(adoptDatabaseInput, input)),
    reconcile: () => databases.reconcile(),
  })

  return {
    ...management,
    config,
    catalog: reader,
    serverDescription: server.description,
    pipeline,
    rules,
    schema,
    urlPrefix: config.urlPrefix,
    authPrefix: config.authPrefix,
    clientAddress,
    jwks: () => keys.jwks(),
    ...operations,
    getTenantPool: (tenant) => connections.pool(tenant),
    async runWithTenant(input, callback) {
      const { tenant } = parse(runWithTenantInput, input)
      requireCallback(callback)
      return await connections.runWithTenant(await management.getTenant(tenant), callback)
    },
    can: (member: Member | Actor | undefined, permissionOrMethod: string, path?: string) =>
      member?.access !== undefined &&
      (path === undefined
        ? rules.can(member.access, permissionOrMethod)
        : rules.can(member.access, permissionOrMethod, path)),
    permissionsOf: (member) => (member?.access === undefined ? [] : rules.permissionsOf(member.access)),
    accountsHost: () =>
      createAccountsHost({
        config,
        logger,
        catalog,
        secret: server.secret,
        pipeline,
        issueAccessToken: ({ user, isRefresh = false, tenant, session }) =>
          isRefresh ? tokens.sign(user, tenant, session) : tokens.issue({ user, tenant, session, actor: user }),
        forgetUser: (id) => cache.invalidate(id),
        volatileCounts: redis?.counts,
        onClose: (close) => closing.add(close),
      }),
    platformTokens: () => platformTokens,
    stats: () => readStats(scheduler, redis),
    activity: async (input = {}) =>
      readActivity({ server: catalog, records, names, users: () => scheduler.users() }, parse(activityOptions, input)),
    health: () => health.read(),
    close() {
      health.closing()
      return closing.close().finally(() => health.closed())
    },
  }
}
