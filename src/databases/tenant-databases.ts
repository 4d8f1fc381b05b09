import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerAccount } from '../core/tenants/database-target.js'
import { TenancyError } from '../core/errors/errors.js'
import type { Tenant, TenantDatabase } from '../core/model.js'
import { createBuildQueue } from './building/build-queue.js'
import { createDatabaseBuilds } from './building/database-builds.js'
import { createFleetMigrations, fleetLockWaitMs } from './migrating/fleet-migrations.js'
import { createDemandedMigrations, maxDemandedMigrations } from './migrating/demanded-migrations.js'
import { createServerPreparation } from './building/server-preparation.js'
import { createStructureInspection } from './building/structure-inspection.js'
import { createTenantMigrations } from './migrating/tenant-migrations.js'
import { readSchemaRange } from './migrating/schema-range.js'
import { prepareAdoption } from './adopting/adopt-database.js'
import { createBackupDatabases } from './copying/backup-databases.js'
import { copyDatabase } from './copying/copy-database.js'
import { schemaUpTo, withNewDatabase } from './copying/new-database.js'
import { databaseNames, isNamedAfterId } from './database-names.js'
import { createChecksumAcceptance } from './lifecycle/accept-checksum.js'
import { dropDueDatabase } from './lifecycle/drop-due-database.js'
import { reconcileDatabases } from './lifecycle/reconcile.js'
import { createReconciler } from './lifecycle/reconciler.js'
import { restoreTenantRole } from './lifecycle/restore-tenant-role.js'
import { createRehearsals } from './rehearsal/rehearsals.js'
import { createOwnerConnections } from './owner/owner-connections.js'
import { openAdminPool } from './server/admin-connection.js'
import { type AdminRights, readAdminRights } from './server/admin-rights.js'
import { createLockKeeper } from './server/lock-keeper.js'
import { databaseLockKey } from './server/lock-keys.js'
import { deriveRolePassword } from './server/role-password.js'
import type { TenantDatabases, TenantDatabasesOptions } from './tenant-databases-interface.js'

export type { TenantDatabases, TenantDatabasesOptions } from './tenant-databases-interface.js'

/** Processes of the previous release may still hand out their stock during a deployment. */
const outdatedAfterMs = 3_600_000
/** Longer than the longest pause between two passes: otherwise the leader would change with each pass. */
const minLeadMs = 10_000
const closeTimeoutMs = 10_000
const defaultConcurrentBuilds = 2

/**
 * Connections that builds may have at a time: the pool of the provisioning account, one inside each new database, and two
 * for each database that is behind: one inside it, and one for its lock.
 */
export const maxBuilderConnections = defaultConcurrentBuilds * 3 + 1 + maxDemandedMigrations * 2

/** Tenant databases on one server. Connects when first used. */
export function createTenantDatabases(options: TenantDatabasesOptions): TenantDatabases {
  const { records, server, secret, logger, isHardened = false } = options
  const { maxConcurrentBuilds = defaultConcurrentBuilds, reconcileIntervalMs = 5000 } = options
  const { user: _user, password: _password, database: _database, ...serverAddress } = server
  const tenantAddress = options.tenantAddress ?? serverAddress
  const names = databaseNames(options.prefix)
  const { pool: admin, end: endAdmin } = openAdminPool(server, maxConcurrentBuilds * 2 + 1)
  const preparation = createServerPreparation({ ...options, names, admin })
  let closing: Promise<void> | undefined

  const reconcile = async (isThorough: boolean) => {
    const { builder, schema } = await preparation.prepared()
    return reconcileDatabases(builder, { templateVersion: schema.version, outdatedAfterMs, logger, isThorough })
  }
  const leader = randomUUID()
  const reconciler = createReconciler({
    reconcile,
    lead: async () => {
      const { serverId } = (await preparation.prepared()).builder
      return records.lead(serverId, leader, Math.max(minLeadMs, reconcileIntervalMs * 2))
    },
    intervalMs: reconcileIntervalMs,
    logger,
  })

  const builds = createDatabaseBuilds({
    preparation,
    readyTarget: options.readyTarget ?? 3,
    maxConcurrentBuilds,
    reconcile: () => reconcile(false),
    logger,
  })

  const locks = createLockKeeper(server)
  // None of this waits for the template: a pending file that fails there must not keep an operator from tenants' databases.
  let knownRights: AdminRights | undefined
  const rights = async () => (knownRights ??= await readAdminRights(admin))
  let knownInstallation: string | undefined
  const installationId = async () => (knownInstallation ??= await records.installationId())
  const owners = createOwnerConnections({ server, admin, names, secret, rights, installationId })
  const migrations = createTenantMigrations({
    records,
    server,
    admin,
    names,
    extensions: options.extensions ?? [],
    rights,
    owners,
    locks,
    lockKeyOf: async (databaseId) => databaseLockKey({ secret, installationId: await installationId() }, databaseId),
    lockWaitMs: options.migrationLockMs ?? 60_000,
    isHardened,
    schema: () => preparation.schema(),
    lockTimeoutMs: options.schemaLockTimeoutMs,
    logger,
  })
  const schemaRange = async () => readSchemaRange((await preparation.schema()).files, options)
  const migrationQueue = createBuildQueue(maxDemandedMigrations)
  const demandedMigrations = createDemandedMigrations({
    migrations,
    queue: migrationQueue,
    schema: () => preparation.schema(),
    whenBehind: options.schemaBehind,
    range: () => schemaRange(),
    logger,
  })

  const accountOf = (databaseId: string, user: string, database: string): ServerAccount => ({
    ...tenantAddress,
    user,
    password: deriveRolePassword(secret, databaseId),
    database,
  })

  const inspection = createStructureInspection({ server, names, preparation })
  const makeNewDatabase: TenantDatabases['withNewDatabase'] = async (version, work) => {
    const { builder, schema } = await preparation.prepared()
    const { schemaLockTimeoutMs: lockTimeoutMs, extensions = [] } = options
    const request = { schema: schemaUpTo(schema, version), lockTimeoutMs, isHardened, owners, extensions }
    return withNewDatabase(builder, request, work)
  }

  /** Finds the database of a tenant, which has to be in one of these states. */
  const databaseOf = async (
    { slug, databaseId }: Pick<Tenant, 'slug' | 'databaseId'>,
    ...states: readonly TenantDatabase['state'][]
  ) => {
    const database = databaseId === null ? undefined : await records.find(databaseId)
    if (database !== undefined && states.includes(database.state)) return database
    throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${slug}" has no database`)
  }

  const finishWork = async () => {
    await reconciler.close()
    await builds.close()
    await demandedMigrations.close()
    await locks.close()
    // A preparation under way has a connection of its own.
    await preparation.settled()
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
    templateVersion: async () => (await preparation.prepared()).schema.version,
    schemaVersion: async () => (await preparation.schema()).latest.version,
    demandSchema: (database, slug, atLeast) => demandedMigrations.demand(database, slug, atLeast),
    schemaRange,

    createTenantDatabase: ({ reservedFor } = {}) => builds.create(reservedFor),
    refill: () => builds.refillStock(),
    fillStock: () => builds.fillStock(),

    async ping() {
      await admin.query('select 1')
    },

    targetOf: ({ id, epoch, roleName, name }) => ({ databaseId: id, epoch, account: accountOf(id, roleName, name) }),

    expectedAccount(databaseId) {
      const name = names.tenantDatabase(databaseId)
      return accountOf(databaseId, name, name)
    },

    async initializeTenantSchema(tenant) {
      return migrations.migrate(await databaseOf(tenant, 'assigned'), tenant.slug)
    },

    fleet: createFleetMigrations({
      records,
      migrations,
      preparation,
      queue: migrationQueue,
      schemaBehind: options.schemaBehind,
    }),

    acceptance: createChecksumAcceptance({
      ...{ migrations, records, schema: () => preparation.schema(), lockWaitMs: fleetLockWaitMs },
    }),

    async bringUpToDate(tenant) {
      const database = await databaseOf(tenant, 'assigned', 'retired')
      const { version } = (await preparation.schema()).latest
      if (database.schemaVersion !== null && database.schemaVersion >= version) return
      await migrations.migrate(database, tenant.slug)
    },

    async withOwner(database, slug, work) {
      // It makes the groups of roles that an installation of an earlier release lacks.
      await preparation.tried()
      return migrations.withOwner(database, slug, work)
    },

    async ownerAccountOf(databaseId) {
      const database = await records.find(databaseId)
      if (database !== undefined) return owners.accountOf(database)
      throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `There is no tenant database ${databaseId}`)
    },

    async restoreRole(databaseId) {
      const database = await records.find(databaseId)
      if (database?.state !== 'assigned' || !isNamedAfterId(names, database)) return []
      const password = deriveRolePassword(secret, databaseId)
      return restoreTenantRole({ admin, server, groups: names }, database, password)
    },

    async dropTenantDatabase(id) {
      await dropDueDatabase((await preparation.prepared()).builder, id)
    },

    async prepareAdoption(input) {
      const { builder, schema } = await preparation.prepared()
      return prepareAdoption(builder, { schema, templateVersion: schema.version }, input)
    },
    withNewDatabase: makeNewDatabase,
    forBackups: createBackupDatabases({
      ...{ server, admin, prefix: names.prefix, records, preparation, inspection, withNewDatabase: makeNewDatabase },
    }),

    copyInto: (target, { name }, how = {}) => copyDatabase({ ...how, source: { ...server, database: name }, target }),

    ...inspection,
    rehearsals: createRehearsals({
      ...{ preparation, withNewDatabase: makeNewDatabase, lockTimeoutMs: options.schemaLockTimeoutMs },
      inspect: (database, how, work) => inspection.inspect(database, how, work),
    }),

    reconcile: () => reconcile(true),
    keepReconciled: () => reconciler.start(),

    async close() {
      builds.refuse()
      closing ??= finishAndEnd()
      await closing
    },
  }
}
