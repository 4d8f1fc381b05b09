import { TenancyError } from '../../core/errors/errors.js'
import type { FleetDatabases } from '../../core/fleet/ports.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import { type Migration, migrationVersion } from '../../core/tenants/migration.js'
import { type AppliedFile, ledgerAccept, openLedger, pendingFiles } from '../../postgres/files/sql-files.js'
import type { ToolLedger } from '../../postgres/files/tool-ledger.js'
import type { TenantMigrations } from '../migrating/migrations-interface.js'
import { ledgerSchema, type TenantSchema } from '../building/tenant-schema.js'

/** What {@link createChecksumAcceptance} needs. */
export interface ChecksumAcceptanceOptions {
  readonly migrations: Pick<TenantMigrations, 'withOwner' | 'readVersion'>
  readonly records: Pick<TenantDatabaseRecords, 'forgetFailure'>
  readonly schema: () => Promise<TenantSchema>
  /** Longest wait for a database's lock. */
  readonly lockWaitMs: number
}

/** Writes the checksum that a file has now into ledgers that have an earlier one. */
export function createChecksumAcceptance({
  migrations,
  records,
  schema,
  lockWaitMs,
}: ChecksumAcceptanceOptions): Pick<FleetDatabases, 'planAccept' | 'acceptChecksum'> {
  return {
    async planAccept(id) {
      const { files } = await schema()
      const version = migrationVersion(files, id)
      const file = files.find((each) => each.version === version)
      if (file !== undefined) return { version: file.version, name: file.name, checksum: file.checksum }
      throw new TenancyError(
        'TENANCY_REQUEST_INVALID',
        `migration: the schema of this process has no migration ${JSON.stringify(id.slice(0, 200))}`,
      )
    },

    async acceptChecksum({ slug, database }, version) {
      const { files, tool } = await schema()
      const file = files.find((each) => each.version === version)
      if (file === undefined) return 'skipped'
      const { outcome, rows } = await migrations.withOwner(database, slug, (client) =>
        rewrite(client, file, tool, slug),
      )
      // Also where nothing was left to change: a run that died may have changed it and told the catalog nothing.
      if (outcome !== 'skipped') await migrations.readVersion(database, slug, lockWaitMs)
      // What its last migration failed with is over, unless another file was edited as well.
      if (outcome !== 'skipped' && 'pending' in pendingFiles(files, rows)) {
        await records.forgetFailure(database.id, 'TENANCY_DATABASE_SCHEMA_INVALID')
      }
      return outcome
    },
  }
}

interface Rewritten {
  readonly outcome: Awaited<ReturnType<FleetDatabases['acceptChecksum']>>
  /** The ledger afterwards. */
  readonly rows: readonly AppliedFile[]
}

/** Changes one column of one row, and that row of the tool's list; both or neither. */
async function rewrite(
  client: SqlClient,
  file: Migration,
  tool: ToolLedger | undefined,
  slug: string,
): Promise<Rewritten> {
  // The login itself may write to the ledger; the owner of the application's objects may not.
  await client.query('begin; set local role none')
  const applied = await openLedger(client, ledgerSchema)
  const row = applied.find(({ version }) => version === file.version)
  await client.query('commit')
  if (row === undefined) return { outcome: 'skipped', rows: applied }
  if (row.name !== file.name) {
    throw new TenancyError(
      'TENANCY_DATABASE_SCHEMA_INVALID',
      `Tenant "${slug}": ${row.name} was applied as number ${file.version}, not ${file.name}: only another text of a file can be accepted`,
    )
  }
  if (row.checksum === file.checksum) return { outcome: 'current', rows: applied }
  // What a trigger on the tool's list does, it does as the owner of the application's objects.
  await client.query('begin')
  if (tool?.accept) await client.query(tool.accept(file))
  await client.query('set local role none')
  await client.query(ledgerAccept(ledgerSchema, file))
  await client.query('commit')
  return {
    outcome: 'accepted',
    rows: applied.map((each) => (each === row ? { ...each, checksum: file.checksum } : each)),
  }
}
