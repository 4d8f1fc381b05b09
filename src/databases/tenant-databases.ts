import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerAccount, ServerAddress, TenantDatabaseTarget } from '../core/tenants/database-target.js'
import type { AdoptDatabaseInput, AdoptedDatabase } from '../core/backup/adopt.js'
import { TenancyError } from '../core/errors/errors.js'
import type { FleetConnections, FleetDatabases } from '../core/fleet/ports.js'
import type { Tenant, TenantDatabase } from '../core/model.js'
import type { DatabaseSupply, VersionedDatabase } from '../core/tenants/tenant-databases.js'
import { createBuildQueue } from './building/build-queue.js'
import { createDatabaseBuilds } from './building/database-builds.js'
import { createDemandedMigrations, maxDemandedMigrations } from './migrating/demanded-migrations.js'
import type { DatabaseInspection } from '../core/fleet/fleet-check.js'
import type { RehearsalDatabases } from '../core/fleet/rehearsal.js'
import { createServerPreparation, type ServerSettings } from './building/server-preparation.js'
import { createStructureInspection } from './building/structure-inspection.js'
import { planRevert } from './migrating/plan-revert.js'
import { createTenantMigrations, type TenantMigrations } from './migrating/tenant-migrations.js'
import { readSchemaRange, type SchemaRange } from './migrating/schema-range.js'
import { prepareAdoption } from './adopting/adopt-database.js'
import { createBackupDatabases } from './copying/backup-databases.js'
import { copyDatabase, type CopyDatabaseOptions, type CopyReport } from './copying/copy-database.js'
import { type NewDatabase, schemaUpTo, withNewDatabase } from './copying/new-database.js'
import { databaseNames, isNamedAfterId } from './database-names.js'
import { dropDueDatabase } from './lifecycle/drop-due-database.js'
import { type Reconciliation, reconcileDatabases } from './lifecycle/reconcile.js'
import { createReconciler } from './lifecycle/reconciler.js'
import { restoreTenantRole } from './lifecycle/restore-tenant-role.js'
import { createRehearsals } from './rehearsal/rehearsals.js'
import { createOwnerConnections } from './owner/owner-connections.js'
import { openAdminPool } from './server/admin-connection.js'
import { type AdminRights, readAdminRights } from './server/admin-rights.js'
import { createLockKeeper } from './server/lock-keeper.js'
import { databaseLockKey } from './server/lock-keys.js'
import type { RoleChange } from './server/restore-role.js'
import { deriveRolePassword } from './server/role-password.js'

/** What the tenant databases of one server need. */
export interface TenantDatabasesOptions extends ServerSettings {
  /** Start of every name made on the server: 1 to 25 characters of a-z, 0-9 and _, a letter first. */
  readonly prefix: string
  /** Whether a database without the newest schema file is migrated when it is used, refused, or served. Default: `migrate`. */
  readonly schemaBehind?: 'migrate' | 'refuse' | 'serve'
  /** Ids of the oldest and the newest migration that the process serves. Default: any. */
  readonly minimumSchema?: string | undefined
  readonly maximumSchema?: string | undefined
  /** Ready databases to keep in stock. Default: 3. */
  readonly readyTarget?: number
  /** Default: 2. */
  readonly maxConcurrentBuilds?: number
  /** Where tenants' connections go: a pooler. Default: to the server. */
  readonly tenantAddress?: ServerAddress | undefined
  /** Time between two reconciliations in the background. Default: 5000. */
  readonly reconcileIntervalMs?: number
  /** Longest wait for another process that migrates the same database. Default: 60000. */
  readonly migrationLockMs?: number
}

/** Builds, migrates, repairs and drops the tenant databases of one server, and knows how to connect to them. */
export interface TenantDatabases extends DatabaseSupply, DatabaseInspection {
  /** Account and identity for connections to a tenant's database, as its own role. */
  targetOf(database: TenantDatabase): TenantDatabaseTarget
  /** The account of the target, unless the database or its role has been renamed. */
  expectedAccount(databaseId: string): ServerAccount
  /**
   * Resolves when the database may serve: its schema is not older than this process demands.
   * @param atLeast demands this version, too
   * @throws TENANCY_DATABASE_SCHEMA_BEHIND, TENANCY_DATABASE_SCHEMA_AHEAD
   */
  demandSchema(database: VersionedDatabase, slug: string, atLeast?: number): Promise<void>
  /**
   * The numbers of migrations by id, and the versions that this process serves.
   * @throws TENANCY_CONFIG_INVALID: `minimumSchema` or `maximumSchema` is unknown
   */
  schemaRange(): Promise<SchemaRange & { readonly versionOf: (migration: string) => number | undefined }>
  /**
   * Restores the privileges of a tenant's database and applies the schema files that it lacks, each in one transaction;
   * returns their names.
   * @throws TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_TENANT_STATE_CONFLICT, TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE
   */
  initializeTenantSchema(tenant: Pick<Tenant, 'slug' | 'databaseId'>): Promise<string[]>
  /** The schema that this process demands, for runs over all tenants. */
  fleetSchema: FleetDatabases['schema']
  /** As `FleetDatabases.newestVersion`. */
  newestVersion: FleetDatabases['newestVersion']
  /** As `FleetDatabases.migrate`. The error names the tenant, with the codes of `initializeTenantSchema`. */
  migrateInFleet: FleetDatabases['migrate']
  /**
   * Runs `work` with an empty database whose schema has the files up to `version`. It is dropped afterwards, by the reconciler if
   * this process dies, unless `work` has assigned it. Takes three connections of the provisioning account.
   * @throws TENANCY_DATABASE_BUILD_FAILED, TENANCY_DATABASE_SCHEMA_FAILED, and what `work` throws
   */
  withNewDatabase<Result>(version: number, work: (database: NewDatabase) => Promise<Result>): Promise<Result>
  /**
   * Fills the database of `withNewDatabase` with the data of another one, from one moment of it.
   * @throws TENANCY_DATABASE_COPY_REFUSED, TENANCY_DATABASE_COPY_FAILED, TENANCY_DATABASE_UNAVAILABLE
   */
  copyInto(
    target: Pick<NewDatabase, 'withOwner'>,
    source: Pick<TenantDatabase, 'name'>,
    options?: Pick<CopyDatabaseOptions, 'onTable' | 'onSnapshot' | 'signal'>,
  ): Promise<CopyReport>
  /** Copies of tenants' databases, on which pending files are tried. */
  readonly rehearsals: RehearsalDatabases
  /** As `FleetDatabases.planRevert`. */
  planRevert: FleetDatabases['planRevert']
  /** As `FleetDatabases.revert`. The error names the tenant. */
  revertInFleet: FleetDatabases['revert']
  /** As `FleetConnections.inSlot`. */
  inFleetSlot: FleetConnections['inSlot']
  /** Prepares a database that exists for a tenant. @throws TENANCY_DATABASE_ADOPT_REFUSED */
  prepareAdoption(input: Pick<AdoptDatabaseInput, 'database' | 'schema' | 'installation'>): Promise<AdoptedDatabase>
  /** The databases as backups use them; structures are described by the reader. */
  readonly forBackups: ReturnType<typeof createBackupDatabases>
  /** As {@link TenantMigrations.withOwner}: for work on a tenant's database as the owner of the application's objects. */
  withOwner: TenantMigrations['withOwner']
  /**
   * The account of a database's owner login. It may not exist yet: `withOwner` makes it.
   * @throws TENANCY_TENANT_STATE_CONFLICT: there is no such database
   */
  ownerAccountOf(databaseId: string): Promise<ServerAccount>
  /** Undoes what a tenant's login role did to itself: password, settings, privileges. Returns what that was. */
  restoreRole(databaseId: string): Promise<readonly (RoleChange | 'privileges')[]>
  /** Builds until the stock is full; rejects with the first error. */
  fillStock(): Promise<void>
  /** Resolves when the server answers a query of the provisioning account. */
  ping(): Promise<void>
  /** Finishes the work of dead processes, drops what is due, and compares the server with the catalog. */
  reconcile(): Promise<Reconciliation>
  /** Reconciles now and at intervals, until `close`. */
  keepReconciled(): void
  /** Waits for work under way, 10 s at most, and closes every connection. */
  close(): Promise<void>
}

/** Processes of the previous release may still hand out their stock during a deployment. */
const outdatedAfterMs = 3_600_000
/** Longer than the longest pause between two passes: otherwise the leader would change with each pass. */
const minLeadMs = 10_000
const closeTimeoutMs = 10_000
const defaultConcurrentBuilds = 2
/** Short: a run that waits for another one's lock asks again, and looks whether it was stopped in between. */
const fleetLockWaitMs = 5000

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
  // It makes the groups of roles that an installation of an earlier release lacks.
  let prepared: Promise<unknown> | undefined
  const prepareIfPossible = () => (prepared ??= preparation.prepared().catch(() => {}))
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

    async fleetSchema() {
      const { files, latest } = await preparation.schema()
      return {
        version: latest.version,
        namesAfter: (version) => files.filter((file) => file.version > (version ?? -1)).map(({ name }) => name),
      }
    },

    newestVersion: async () => (await preparation.readSchema()).latest.version,

    async migrateInFleet({ slug, database: listed }, { verify, lockTimeoutMs, statementTimeoutMs }) {
      if (verify && (await migrations.isCurrent(listed))) return { outcome: 'current', applied: [] }
      const database = await records.find(listed.id)
      if (database?.state !== 'assigned') return { outcome: 'skipped', applied: [] }
      const { version } = (await preparation.schema()).latest
      // Another runner may have come before.
      if (!verify && database.schemaVersion !== null && database.schemaVersion >= version) {
        return { outcome: 'current', applied: [] }
      }
      const limits = {
        ...{ lockWaitMs: fleetLockWaitMs, statementTimeoutMs },
        ...(lockTimeoutMs === undefined ? {} : { lockTimeoutMs }),
      }
      const applied = await migrations.migrate(database, slug, limits)
      return { outcome: applied.length > 0 ? 'migrated' : 'current', applied }
    },

    async planRevert(last) {
      return planRevert((await preparation.schema()).files, last, options.schemaBehind)
    },

    async revertInFleet({ slug, database: { id } }, { to, lockTimeoutMs, statementTimeoutMs }) {
      const database = await records.find(id)
      if (database?.state !== 'assigned') return undefined
      const limits = {
        ...{ lockWaitMs: fleetLockWaitMs, statementTimeoutMs },
        ...(lockTimeoutMs === undefined ? {} : { lockTimeoutMs }),
      }
      return migrations.revert(database, slug, to, limits)
    },

    // Requests that wait for their tenant's migration go first.
    inFleetSlot: (work) => migrationQueue.run(work, false),

    async bringUpToDate(tenant) {
      const database = await databaseOf(tenant, 'assigned', 'retired')
      const { version } = (await preparation.schema()).latest
      if (database.schemaVersion !== null && database.schemaVersion >= version) return
      await migrations.migrate(database, tenant.slug)
    },

    async withOwner(database, slug, work) {
      await prepareIfPossible()
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
