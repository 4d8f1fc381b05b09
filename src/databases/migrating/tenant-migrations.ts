import type { Client } from 'pg'
import type { TenantDatabase } from '../../core/model.js'
import { TenancyError } from '../../core/errors/errors.js'
import { describeLedger, pendingFiles, readAppliedFiles, readLedger } from '../../postgres/files/sql-files.js'
import type { VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import { applyTenantSchema, ledgerSchema, revertTenantSchema } from '../building/tenant-schema.js'
import { readLedgerOf } from '../owner/database-state.js'
import { createLockedDatabases } from './locked-databases.js'
import { withTenantName } from './migration-failures.js'
import { plainFilesFor } from './plain-migration.js'
import { createSchemaChange } from './schema-change.js'
import type { MigrationLimits, TenantMigrations, TenantMigrationsOptions } from './migrations-interface.js'

/** Migrations of the tenant databases of one server. */
export function createTenantMigrations(options: TenantMigrationsOptions): TenantMigrations {
  const { records, schema, owners } = options
  const usual: MigrationLimits = { lockWaitMs: options.lockWaitMs }
  const access = createLockedDatabases(options)
  const { underLock, asAdmin, makeReady, look, wantedState } = access
  const change = createSchemaChange(options, access)

  const inside = <Result>(
    database: TenantDatabase,
    slug: string,
    timeoutMs: number,
    work: (client: Client) => Promise<Result>,
  ) => underLock(database, slug, timeoutMs, () => asAdmin(database, work))

  /** Tells the processes that serve the tenant, if the catalog knows that a file is missing. */
  const announce = ({ id, schemaVersion }: VersionedDatabase, { isAnnounced = false }: MigrationLimits) => {
    if (isAnnounced) return Promise.resolve()
    const announcing = schema().then(async ({ latest }) => {
      if (schemaVersion === null || schemaVersion < latest.version) await records.announceMigration(id)
    })
    // The connection may fail first.
    announcing.catch(() => {})
    return announcing
  }

  /** Whether the database has everything, and just the version that the catalog says. It takes no lock. */
  const isCurrent = async (database: VersionedDatabase): Promise<boolean> => {
    const { files } = await schema()
    const state = await wantedState()
    const applied = await look(database, (client) => readLedgerOf(client, database, state))
    if (applied === undefined) return false
    const { version, fingerprint } = describeLedger(applied)
    // Only under the lock may the catalog be corrected.
    if (version !== database.schemaVersion || fingerprint !== database.schemaFingerprint) return false
    const found = pendingFiles(files, applied)
    return 'pending' in found && found.pending.length === 0
  }

  return {
    migrate: (database, slug, limits = usual) =>
      // Meanwhile the connections are opened; processes that serve the tenant have heard of it when the first file runs.
      change(
        {
          database,
          slug,
          limits,
          announced: announce(database, limits),
          plainFor: (wanted) => plainFilesFor(wanted, database),
        },
        applyTenantSchema,
      ),

    // Whatever is wrong is found again under the lock.
    isCurrent: (database) => isCurrent(database).catch(() => false),

    async pending(database, slug) {
      const { files } = await schema()
      try {
        const found = pendingFiles(files, await look(database, (client) => readLedger(client, ledgerSchema)))
        if ('pending' in found) return found.pending.map(({ name }) => name)
        throw new TenancyError('TENANCY_DATABASE_SCHEMA_INVALID', found.problem)
      } catch (error) {
        throw withTenantName(slug, error)
      }
    },

    revert: (database, slug, to, limits = usual) => {
      const announced = records.announceMigration(database.id)
      announced.catch(() => {})
      return change({ database, slug, limits, announced }, (client, wanted, how) =>
        revertTenantSchema(client, wanted, to, how),
      )
    },

    async withOwner(database, slug, work) {
      await inside(database, slug, usual.lockWaitMs, async (client) => {
        await makeReady(client, database, {})
        await owners.ensure(client, database)
      })
      return owners.connect(database, work)
    },

    readVersion: (database, slug, lockWaitMs) =>
      inside(database, slug, lockWaitMs, async (client) => {
        const state = await readAppliedFiles(client, ledgerSchema)
        await records.recordSchema(database.id, state)
        return state.version
      }),
  }
}
