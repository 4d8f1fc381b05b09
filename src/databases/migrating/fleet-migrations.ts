import type { FleetConnections, FleetDatabases, FleetMigration } from '../../core/fleet/ports.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import type { BuildQueue } from '../building/build-queue.js'
import type { ServerPreparation } from '../building/server-preparation.js'
import { TenancyError } from '../../core/errors/errors.js'
import { schemaUpTo } from '../copying/new-database.js'
import { planRevert } from './plan-revert.js'
import type { MigrationLimits, TenantMigrations } from './migrations-interface.js'

/** What runs over all tenants need of the databases of one server. */
export interface FleetMigrations
  extends
    Pick<FleetDatabases, 'schema' | 'pendingOf' | 'newestVersion' | 'announce' | 'migrate' | 'planRevert' | 'revert'>,
    Pick<FleetConnections, 'inSlot'> {}

/** What {@link createFleetMigrations} needs. */
export interface FleetMigrationsOptions {
  readonly records: Pick<TenantDatabaseRecords, 'find' | 'announceMigrations'>
  readonly migrations: TenantMigrations
  readonly preparation: Pick<ServerPreparation, 'schema' | 'readSchema'>
  /** Of the migrations that requests have asked for. */
  readonly queue: BuildQueue
  readonly schemaBehind?: 'migrate' | 'refuse' | 'serve' | undefined
}

/** Short: a run that waits for another one's lock asks again, and looks whether it was stopped in between. */
export const fleetLockWaitMs = 5000

const limitsOf = ({ lockTimeoutMs, statementTimeoutMs }: Omit<FleetMigration, 'verify'>): MigrationLimits => ({
  ...{ lockWaitMs: fleetLockWaitMs, statementTimeoutMs },
  ...(lockTimeoutMs === undefined ? {} : { lockTimeoutMs }),
})

/** Migrations of the tenants of one server, as runs over the fleet ask for them. */
export function createFleetMigrations(options: FleetMigrationsOptions): FleetMigrations {
  const { records, migrations, preparation, queue, schemaBehind } = options
  return {
    async schema() {
      const { files, latest } = await preparation.schema()
      return {
        version: latest.version,
        namesAfter: (version) => files.filter((file) => file.version > (version ?? -1)).map(({ name }) => name),
      }
    },

    newestVersion: async () => (await preparation.readSchema()).latest.version,

    async pendingOf({ slug, database }, isInside) {
      if (isInside) return migrations.pending(database, slug)
      const schema = await preparation.schema()
      const { schemaVersion, schemaFingerprint } = database
      const known = schemaUpTo(schema, schemaVersion ?? -1).latest
      // Of a database that is behind, the catalog has the hash of just these files.
      if (schemaVersion !== null && typeof schemaFingerprint === 'string' && schemaFingerprint !== known.fingerprint) {
        throw new TenancyError(
          'TENANCY_DATABASE_SCHEMA_INVALID',
          `Tenant "${slug}": what was applied up to ${schemaVersion} are not the files of this release: one was edited, removed, renamed ` +
            'or inserted. --verify (verify: true) names it',
        )
      }
      return schema.files.filter((file) => file.version > (schemaVersion ?? -1)).map(({ name }) => name)
    },

    async announce(tenants) {
      const { version } = (await preparation.schema()).latest
      const ids = tenants.map(({ database }) => database.id)
      const found = new Map((await records.announceMigrations(ids, version)).map((database) => [database.id, database]))
      return tenants.map((tenant) => {
        const database = found.get(tenant.database.id)
        return database === undefined ? tenant : { ...tenant, database, isAnnounced: true }
      })
    },

    async migrate({ slug, hasFailed, database: listed, isAnnounced = false }, how) {
      const { verify } = how
      // Only what runs under the lock has the catalog forget a failure.
      if (verify && !hasFailed && (await migrations.isCurrent(listed))) return { outcome: 'current', applied: [] }
      const database = isAnnounced ? listed : await records.find(listed.id)
      if (database?.state !== 'assigned') return { outcome: 'skipped', applied: [] }
      const { version } = (await preparation.schema()).latest
      // Another runner may have come before.
      if (!verify && !hasFailed && database.schemaVersion !== null && database.schemaVersion >= version) {
        return { outcome: 'current', applied: [] }
      }
      const applied = await migrations.migrate(database, slug, { ...limitsOf(how), isAnnounced })
      return { outcome: applied.length > 0 ? 'migrated' : 'current', applied }
    },

    planRevert: async (last) => planRevert((await preparation.schema()).files, last, schemaBehind),

    async revert({ slug, database: { id } }, how) {
      const database = await records.find(id)
      if (database?.state !== 'assigned') return undefined
      return migrations.revert(database, slug, how.to, limitsOf(how))
    },

    // Requests that wait for their tenant's migration go first.
    inSlot: (work) => queue.run(work, false),
  }
}
