import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'pg'
import type { ServerAccount, ServerAddress, TenantDatabaseTarget } from '../core/tenants/database-target.js'
import { findTenancyError, isTenancyError, TenancyError } from '../core/errors/errors.js'
import { followPool } from '../postgres/follow-pool.js'
import type { Logger } from '../core/logger.js'
import type { Tenant, TenantDatabase } from '../core/model.js'
import type { DatabaseSupply, TenantDatabaseRecords, VersionedDatabase } from '../core/tenants/tenant-databases.js'
import { connectionOptions, sqlStateOf, withConnectionInside } from './server/admin-connection.js'
import { joinRoles, needsMembership, readAdminRights, reportAdminRights } from './server/admin-rights.js'
import { createBuildQueue } from './building/build-queue.js'
import { isCollationOutdated, warnOfOutdatedCollations } from './server/collations.js'
import { type BuilderOptions, type BuildRequest, buildTenantDatabase } from './building/database-builder.js'
import { databaseNames, isNamedAfterId } from './database-names.js'
import { dropTenantDatabase } from './lifecycle/drop-database.js'
import { revokedFunctions } from './server/hardening.js'
import { databaseLockKey, roleLockKey } from './server/lock-keys.js'
import { type Reconciliation, reconcileDatabases } from './lifecycle/reconcile.js'
import { createReconciler } from './lifecycle/reconciler.js'
import { restoreRole, type RoleChange } from './server/restore-role.js'
import { reconcileRoleLimits } from './server/role-limits.js'
import { deriveRolePassword } from './server/role-password.js'
import { createStock } from './building/stock.js'
import { reconcileTempFileLimits, withoutTempFileLimit } from './server/temp-file-limit.js'
import { ensureTemplate, type Template } from './building/template.js'
import { createTenantMigrations, maxDemandedMigrations } from './building/tenant-migrations.js'
import { restorePrivileges } from './building/tenant-privileges.js'
import { readTenantSchema, type TenantSchema } from './building/tenant-schema.js'

/** What the tenant databases of one server need. */
export interface TenantDatabasesOptions {
  readonly records: TenantDatabaseRecords
  /**
   * The provisioning account, which may create databases and roles; it never serves tenant traffic. Its `database` is the
   * catalog: locks are held there, where no tenant can connect.
   */
  readonly server: ServerAccount
  /** The server's name in the catalog. Default: `default`. */
  readonly serverName?: string
  /** Start of every name made on the server: 1 to 31 characters of a-z, 0-9 and _, a letter first. */
  readonly prefix: string
  /** Master secret that the roles' passwords are derived from, at least 32 bytes. */
  readonly secret: Buffer
  /** Folder of numbered SQL files. Default: none, tenants start empty. */
  readonly schemaDir?: string | undefined
  /** What becomes of a connection to a database whose schema is behind. Default: `migrate`. */
  readonly schemaBehind?: 'migrate' | 'refuse'
  /** Longest wait of a schema file's statement for a lock. Default: 2000. */
  readonly schemaLockTimeoutMs?: number
  /** Ready databases to keep in stock. Default: 3. */
  readonly readyTarget?: number
  /** Default: 2. */
  readonly maxConcurrentBuilds?: number
  /** Most connections that the server lets a tenant's role have, see `roleConnectionLimit`. Default: no limit. */
  readonly roleConnectionLimit?: number
  /** Most temporary files of one session of a tenant, in MB; takes a superuser. Default: 0, no limit. */
  readonly tempFileLimitMb?: number
  /** Take functions that use up what the server shares from tenants; takes a superuser. Default: false. */
  readonly isHardened?: boolean
  /** Where tenants' connections go: a pooler. Default: to the server. */
  readonly tenantAddress?: ServerAddress | undefined
  /** Between two reconciliations in the background. Default: 5000. */
  readonly reconcileIntervalMs?: number
  /** Longest wait for another process that migrates the same database. Default: 60000. */
  readonly migrationLockMs?: number
  readonly logger: Logger
}

/** Builds, opens up, migrates and drops the tenant databases of one server. */
export interface TenantDatabases extends DatabaseSupply {
  /** Account and identity for connections to a tenant's database, as its own role. */
  targetOf(database: TenantDatabase): TenantDatabaseTarget
  /**
   * Resolves when the database may serve: its schema is not older than this process demands.
   * @throws TENANCY_DATABASE_SCHEMA_BEHIND
   */
  demandSchema(database: VersionedDatabase, slug: string): Promise<void>
  /**
   * Restores the privileges of a tenant's database and applies the schema files that it lacks, each in one transaction;
   * returns their names.
   * @throws TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_TENANT_STATE_CONFLICT, TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE
   */
  initializeTenantSchema(tenant: Pick<Tenant, 'slug' | 'databaseId'>): Promise<string[]>
  /** Undoes what a tenant's login role did to itself: password, settings, privileges. Returns what that was. */
  restoreRole(databaseId: string): Promise<readonly (RoleChange | 'privileges')[]>
  /** Builds until the stock is full; rejects with the first error. */
  fillStock(): Promise<void>
  /** Asks the server for a sign of life, as the account that builds. */
  ping(): Promise<void>
  /** Finishes what died, drops what is due, and compares the server with the catalog. */
  reconcile(): Promise<Reconciliation>
  /** Reconciles now and at intervals, until `close`. */
  keepReconciled(): void
  /** Waits for work under way, 10 s at most, and closes every connection. */
  close(): Promise<void>
}

// Processes of the previous release may still hand out their stock during a deployment.
const outdatedAfterMs = 3_600_000
// Longer than the longest pause between two passes, or leaders would take turns.
const leadMs = 10_000
const dropTimeoutMs = 30_000
// The template is gone, or its drop has begun.
const templateGone = new Set(['3D000', '55000'])
const internalError = 'XX000'
// A large template takes its time; what takes longer than this waits for a server that is gone.
const queryTimeoutMs = 600_000
const closeTimeoutMs = 10_000
const defaultConcurrentBuilds = 2

/**
 * Connections that builds may have at a time: the pool of the provisioning account, one inside each new database, and two
 * for each one that is behind: inside, and for its lock.
 */
export const maxBuilderConnections = defaultConcurrentBuilds * 3 + 1 + maxDemandedMigrations * 2

interface Prepared {
  readonly builder: BuilderOptions
  readonly schema: TenantSchema
  readonly template: Template
}

/** Tenant databases on one server. Connects when first used. */
export function createTenantDatabases(options: TenantDatabasesOptions): TenantDatabases {
  const { records, server, secret, logger, serverName = 'default', readyTarget = 3, roleConnectionLimit } = options
  const {
    maxConcurrentBuilds = defaultConcurrentBuilds,
    reconcileIntervalMs = 5000,
    migrationLockMs = 60_000,
    tempFileLimitMb = 0,
    isHardened = false,
  } = options
  const { user: _user, password: _password, database: _database, ...serverAddress } = server
  const tenantAddress = options.tenantAddress ?? serverAddress
  const names = databaseNames(options.prefix)
  const admin = new Pool({
    ...connectionOptions(server),
    max: maxConcurrentBuilds * 2 + 1,
    idleTimeoutMillis: 10_000,
    query_timeout: queryTimeoutMs,
  })
  // An idle connection that dies is replaced; without a listener it would end the process.
  admin.on('error', () => {})
  const endAdmin = followPool(admin)
  // The same for one in use, between two queries.
  admin.on('connect', (client) => client.on('error', () => {}))
  const queue = createBuildQueue(maxConcurrentBuilds)
  let prepared: Promise<Prepared> | undefined
  let knownSchema: TenantSchema | undefined
  let isClosed = false
  let closing: Promise<void> | undefined

  const prepare = (): Promise<Prepared> => {
    prepared ??= prepareOnce().catch((cause: unknown) => {
      prepared = undefined
      if (isTenancyError(cause)) throw cause
      throw new TenancyError(
        'TENANCY_DATABASE_BUILD_FAILED',
        `No template for tenant databases on ${server.host}:${server.port}: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      )
    })
    return prepared
  }
  const readSchema = async (installationId: string): Promise<TenantSchema> => {
    const schema = await readTenantSchema(options.schemaDir, installationId)
    return isHardened ? { ...schema, version: hardenedVersion(schema.version) } : schema
  }
  const prepareOnce = async (): Promise<Prepared> => {
    const installationId = await records.installationId()
    // Once it is known to be good: what a process demands does not change while it runs.
    const schema = knownSchema ?? (await readSchema(installationId))
    const { schemaLockTimeoutMs: lockTimeoutMs } = options
    const [serverId, template] = await Promise.all([
      records.serverId(serverName),
      ensureTemplate({ server, names, installationId, secret, lockTimeoutMs, isHardened }, schema),
    ])
    knownSchema = schema
    if (template.refusedSettings.length > 0) {
      const fields = { settings: template.refusedSettings }
      logger.warn(fields, 'The schema gives its database settings that new tenants do not get: they load code')
    }
    const diverged = await records.countDiverged(serverId, schema.latest)
    if (diverged > 0) {
      logger.warn(
        { databases: diverged },
        'Tenants have schema files of the same numbers and other texts: a file was edited after it was applied. Restore it and add a new one',
      )
    }
    await retireOutdatedStock(serverId)
    if (roleConnectionLimit !== undefined) {
      const lockKey = roleLockKey({ secret, installationId })
      await reconcileRoleLimits(admin, names.members, roleConnectionLimit, lockKey)
    }
    const rights = await readAdminRights(admin)
    reportAdminRights(rights, logger)
    if (needsMembership(rights)) await joinRoles(admin, names.members)
    if (rights.isSuperuser) {
      await reconcileTempFileLimits(admin, { installationId, prefix: names.prefix, megabytes: tempFileLimitMb })
    }
    const builder = {
      tempFileLimitMb,
      records,
      admin,
      rights,
      server,
      serverId,
      installationId,
      names,
      secret,
      roleConnectionLimit,
    }
    return { builder, schema, template }
  }

  /** What was copied before the operating system changed its collation is as wrong as its template. */
  const retireOutdatedStock = async (serverId: string) => {
    const outdated = new Set(await warnOfOutdatedCollations(admin, names.prefix, logger))
    if (outdated.size === 0) return
    const recorded = await records.list(serverId)
    const stale = recorded.filter(({ state, name }) => state === 'ready' && outdated.has(name))
    for (const { id } of stale) await records.retireUnusable(id)
  }

  /** Gone, about to be dropped, or not to be copied any more. The text of that error is in the server's language. */
  const isTemplateLost = async (error: unknown, template: Template) => {
    const state = sqlStateOf(findTenancyError(error)?.cause) ?? ''
    return templateGone.has(state) || (state === internalError && (await isCollationOutdated(admin, template.name)))
  }

  const migrations = createTenantMigrations({
    records,
    server,
    admin,
    members: names.members,
    lockKeyOf: async (databaseId) => databaseLockKey((await prepare()).builder, databaseId),
    lockWaitMs: migrationLockMs,
    connectionSettings: async () => ((await prepare()).builder.rights.isSuperuser ? withoutTempFileLimit : undefined),
    isHardened,
    schema: async () => knownSchema ?? (await prepare()).schema,
    whenBehind: options.schemaBehind,
    lockTimeoutMs: options.schemaLockTimeoutMs,
    logger,
  })

  /** The database of a tenant, which is in one of these states. */
  const databaseOf = async (
    { slug, databaseId }: Pick<Tenant, 'slug' | 'databaseId'>,
    ...states: readonly TenantDatabase['state'][]
  ) => {
    const database = databaseId === null ? undefined : await records.find(databaseId)
    if (database !== undefined && states.includes(database.state)) return database
    throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${slug}" has no database`)
  }

  const build = async (
    request: Pick<BuildRequest, 'reservedFor' | 'stockTarget'>,
  ): Promise<TenantDatabase | undefined> => {
    for (let attempt = 1; ; attempt += 1) {
      const { builder, schema, template } = await prepare()
      try {
        const { version: templateVersion, latest } = schema
        return await buildTenantDatabase(builder, { ...request, template, templateVersion, schema: latest })
      } catch (error) {
        // A process with another version of the schema may have dropped this one's template: make it again, once.
        if (attempt > 1 || !(await isTemplateLost(error, template))) throw error
        prepared = undefined
      }
    }
  }

  const reconcile = async (isThorough: boolean) => {
    const { builder, schema } = await prepare()
    return reconcileDatabases(builder, { templateVersion: schema.version, outdatedAfterMs, logger, isThorough })
  }

  const leader = randomUUID()
  const reconciler = createReconciler({
    reconcile,
    lead: async () =>
      records.lead((await prepare()).builder.serverId, leader, Math.max(leadMs, reconcileIntervalMs * 2)),
    intervalMs: reconcileIntervalMs,
    logger,
  })

  const stock = createStock({
    reconcile: () => reconcile(false),
    workers: maxConcurrentBuilds,
    buildOne: async () => {
      if (readyTarget === 0) return false
      return (await queue.run(() => build({ stockTarget: readyTarget }), false)) !== undefined
    },
    logger,
  })

  const finishWork = async () => {
    await reconciler.close()
    await stock.close()
    await queue.drained()
    await migrations.close()
    // A preparation under way has a connection of its own.
    await prepared?.catch(() => {})
    return true
  }
  const finishAndEnd = async () => {
    const isFinished = await Promise.race([finishWork(), sleep(closeTimeoutMs, false, { ref: false })])
    if (!isFinished) {
      logger.warn({}, 'The server does not answer: what was being built is left to the next reconciliation')
    }
    await endAdmin({ wait: isFinished })
  }

  return {
    templateVersion: async () => (await prepare()).schema.version,
    schemaVersion: async () => (knownSchema ?? (await prepare()).schema).latest.version,
    demandSchema: (database, slug) => migrations.demand(database, slug),

    async createTenantDatabase({ reservedFor } = {}) {
      if (isClosed) throw new TenancyError('TENANCY_CLOSED', 'No tenant database is built while the service shuts down')
      const database = await queue.run(() => build({ reservedFor }), true)
      if (!database) throw new TenancyError('TENANCY_DATABASE_BUILD_FAILED', 'The catalog refused the build')
      return database
    },

    refill: () => stock.refill(),
    fillStock: () => stock.fill(),

    async ping() {
      await admin.query('select 1')
    },

    targetOf: (database) => ({
      databaseId: database.id,
      epoch: database.epoch,
      account: {
        ...tenantAddress,
        user: database.roleName,
        password: deriveRolePassword(secret, database.id),
        database: database.name,
      },
    }),

    async initializeTenantSchema(tenant) {
      return migrations.migrate(await databaseOf(tenant, 'assigned'), tenant.slug)
    },

    async bringUpToDate(tenant) {
      const database = await databaseOf(tenant, 'assigned', 'retired')
      const { version } = (knownSchema ?? (await prepare()).schema).latest
      if (database.schemaVersion !== null && database.schemaVersion >= version) return
      await migrations.migrate(database, tenant.slug)
    },

    async restoreRole(databaseId) {
      const database = await records.find(databaseId)
      if (database?.state !== 'assigned' || !isNamedAfterId(names, database)) return []
      const { name, roleName: role } = database
      const password = deriveRolePassword(secret, databaseId)
      const changes = await restoreRole(admin, { ...server, user: role, password, database: name })
      const isRestored = await withConnectionInside({ ...server, database: name }, (client) =>
        restorePrivileges(client, database, names.members),
      ).catch((error: unknown) => {
        // What was mended of the role counts.
        if (changes.length === 0) throw error
        return false
      })
      return isRestored ? [...changes, 'privileges'] : changes
    },

    async dropTenantDatabase(id) {
      const { builder } = await prepare()
      const deadline = Date.now() + dropTimeoutMs
      for (;;) {
        const outcome = await dropTenantDatabase(builder, id).catch((cause: unknown) => {
          throw stillThere(id, cause)
        })
        if (outcome.kind === 'dropped') return
        const database = await records.find(id)
        if (!database) return
        if (outcome.kind === 'kept') {
          throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant database ${id} is in use or not due yet`)
        }
        if (Date.now() > deadline) throw stillThere(id, undefined)
        await sleep(50)
      }
    },

    reconcile: () => reconcile(true),
    keepReconciled: () => reconciler.start(),

    async close() {
      isClosed = true
      closing ??= finishAndEnd()
      await closing
    },
  }
}

/** A template with revocations is another one. */
function hardenedVersion(version: string): string {
  return createHash('sha256')
    .update(`hardened ${version} ${revokedFunctions.join(' ')}`)
    .digest('hex')
    .slice(0, 16)
}

function stillThere(id: string, cause: unknown): TenancyError {
  return new TenancyError(
    'TENANCY_DATABASE_UNAVAILABLE',
    `The tenant database ${id} could not be dropped now; it is dropped as soon as that is possible`,
    { cause },
  )
}
