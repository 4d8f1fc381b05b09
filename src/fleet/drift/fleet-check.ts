import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type {
  DatabaseInspection,
  FleetCheckOptions,
  FleetCheckOutcome,
  FleetCheckReport,
  FleetCheckResult,
  InspectedDatabase,
} from '../../core/fleet/fleet-check.js'
import type { FleetTenant } from '../../core/fleet/ports.js'
import type { VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import { retry } from '../../postgres/outages/retry.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { chooseTenants } from '../run/choose-tenants.js'
import { runOverTenants, type TenantRunParts } from '../run/run-over-tenants.js'
import { retryRule } from '../run/transient-errors.js'
import { compareStructures } from './compare-structures.js'
import { readFingerprint, readStructure, type StructureFact } from './read-structure.js'
import { structureSettings } from './structure-sql.js'

/** What {@link createFleetCheck} needs. */
export interface FleetCheckParts extends TenantRunParts {
  readonly databases: DatabaseInspection
}

type Outcome = Omit<FleetCheckResult, 'tenant' | 'durationMs'>

/** The structure that databases are compared with. */
interface Reference {
  readonly fingerprint: string
  readonly facts: readonly StructureFact[]
  readonly schemaVersion: number
}

/** Makes the function `check` of the fleet. */
export function createFleetCheck(parts: FleetCheckParts) {
  const { catalog, databases } = parts
  const readReference = (signal: AbortSignal | undefined): Promise<Reference> =>
    databases.inspectTemplate({ settings: structureSettings, signal }, async (inspected) => ({
      fingerprint: (await readFingerprint(inspected, true)).fingerprint,
      facts: await readStructure(inspected, true),
      schemaVersion: inspected.schemaVersion,
    }))

  const compareOnce = (database: VersionedDatabase, reference: Reference, signal: AbortSignal | undefined) =>
    databases.inspect(database, { settings: structureSettings, signal }, async (inspected) => {
      if (await isUnchanged(inspected, database, reference)) return []
      return compareStructures(reference.facts, await readStructure(inspected))
    })

  const compare = async (
    { database }: FleetTenant,
    reference: Reference,
    { anyVersion = false, signal }: FleetCheckOptions,
  ): Promise<Outcome> => {
    const databaseId = database.id
    const outcome = anyVersion ? undefined : versionOutcome(database, reference)
    if (outcome !== undefined) return { databaseId, outcome, differences: [] }
    const differences = await compareOnce(database, reference, signal)
    return { databaseId, outcome: differences.length > 0 ? 'different' : 'same', differences }
  }

  return async (options: FleetCheckOptions): Promise<FleetCheckReport> => {
    const { signal } = options
    signal?.throwIfAborted()
    const chosen = await chooseTenants(catalog, options, true)
    for (const { slug, databaseId } of chosen.named ?? []) if (databaseId === null) throw withoutDatabase(slug)
    // The template is on the tenants' server, which may be full for a moment.
    const rule = retryRule(() => signal?.aborted !== true && !parts.isClosing())
    const reference = await retry(() => readReference(signal), rule).catch((error: unknown) => {
      signal?.throwIfAborted()
      throw unreadable('of the template', error)
    })
    const { counts } = await runOverTenants<Outcome>(parts, {
      ...{ options, chosen, connections: 1, withNewcomers: false },
      zero: { same: 0, different: 0, behind: 0, ahead: 0, failed: 0 },
      work: (tenant) => compare(tenant, reference, options),
      fail({ slug, database }, error) {
        if (signal?.aborted === true) return undefined
        return {
          databaseId: database.id,
          outcome: 'failed',
          differences: [],
          error: unreadable(`of the database of tenant "${slug}"`, error),
        }
      },
      // An object that is dropped meanwhile gives an internal error.
      mayPass: (error) => hasSqlState(error, sqlStates.internalError),
    })
    signal?.throwIfAborted()
    return { databases: Object.values(counts).reduce((sum, count) => sum + count, 0), ...counts }
  }
}

function withoutDatabase(slug: string): TenancyError {
  return new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${slug}" has no database`)
}

function versionOutcome(
  { schemaVersion }: VersionedDatabase,
  reference: Reference,
): Extract<FleetCheckOutcome, 'behind' | 'ahead'> | undefined {
  if (schemaVersion === null || schemaVersion < reference.schemaVersion) return 'behind'
  return schemaVersion > reference.schemaVersion ? 'ahead' : undefined
}

/** @throws {@link TenancyError} TENANCY_DATABASE_IDENTITY_MISMATCH: the database is not the one that the catalog means */
async function isUnchanged(
  inspected: InspectedDatabase,
  { id, epoch }: VersionedDatabase,
  reference: Reference,
): Promise<boolean> {
  const { fingerprint, identity } = await readFingerprint(inspected)
  const [row] = identity
  if (identity.length !== 1 || row?.[0] !== id || row[1] !== epoch) {
    throw new TenancyError(
      'TENANCY_DATABASE_IDENTITY_MISMATCH',
      'A database that has the name of a tenant’s database is not that tenant’s',
    )
  }
  return fingerprint === reference.fingerprint
}

function unreadable(what: string, cause: unknown): TenancyError {
  const known = findTenancyError(cause)
  if (known) return known
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new TenancyError('TENANCY_DATABASE_UNAVAILABLE', `The structure ${what} cannot be read: ${reason}`, { cause })
}
