import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type {
  DatabaseInspection,
  FleetCheckOptions,
  FleetCheckOutcome,
  FleetCheckReport,
  FleetCheckResult,
  FleetDatabase,
  FleetDatabases,
  InspectedDatabase,
} from '../../core/fleet/fleet-check.js'
import type { VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import { retry } from '../../postgres/retry.js'
import { hasSqlState, sqlStates } from '../../postgres/sql-states.js'
import { compareStructures } from './compare-structures.js'
import { readFingerprint, readStructure, type StructureFact } from './read-structure.js'
import { structureSettings } from './structure-sql.js'

/** What {@link createFleetCheck} needs. */
export interface FleetCheckPorts {
  readonly catalog: FleetDatabases
  readonly databases: DatabaseInspection
}

/** The structure that databases are compared with. */
interface Reference {
  readonly fingerprint: string
  readonly facts: readonly StructureFact[]
  readonly schemaVersion: number
}

const defaultParallelism = 4
const maxAttempts = 3

/** Makes the function `check` of the fleet. */
export function createFleetCheck({ catalog, databases }: FleetCheckPorts) {
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
    { tenant, database }: FleetDatabase,
    reference: Reference,
    signal: AbortSignal | undefined,
  ): Promise<FleetCheckResult> => {
    const found = { tenant, databaseId: database.id }
    try {
      const differences = await retry(() => compareOnce(database, reference, signal), {
        // An object that is dropped meanwhile gives an internal error; a server may be full for a moment.
        mayRetry: (error, attempt) =>
          attempt < maxAttempts &&
          signal?.aborted !== true &&
          hasSqlState(error, sqlStates.internalError, sqlStates.tooManyConnections),
        pauseMs: (attempt) => attempt * 200,
      })
      return { ...found, outcome: differences.length > 0 ? 'different' : 'same', differences }
    } catch (error) {
      signal?.throwIfAborted()
      return { ...found, outcome: 'failed', differences: [], error: unreadable(tenant.slug, error) }
    }
  }

  return async (options: FleetCheckOptions = {}): Promise<FleetCheckReport> => {
    const { tenants, parallelism = defaultParallelism, anyVersion = false, signal, onResult } = options
    signal?.throwIfAborted()
    const tenantIds = tenants && (await catalog.tenantIds(tenants))
    const reference = await readReference(signal).catch((error: unknown) => {
      signal?.throwIfAborted()
      throw error
    })
    const counts = { databases: 0, same: 0, different: 0, behind: 0, ahead: 0, failed: 0 }
    const stop = new AbortController()
    const isStopped = () => stop.signal.aborted || signal?.aborted === true
    const all = readAll(catalog, tenantIds)

    const work = async () => {
      try {
        for (let next = await all.next(); next.done !== true && !isStopped(); next = await all.next()) {
          const outcome = anyVersion ? undefined : versionOutcome(next.value.database, reference)
          const result =
            outcome === undefined
              ? await compare(next.value, reference, signal)
              : { tenant: next.value.tenant, databaseId: next.value.database.id, outcome, differences: [] }
          counts.databases += 1
          counts[result.outcome] += 1
          await onResult?.(result)
        }
      } catch (error) {
        stop.abort()
        throw error
      }
    }
    const finished = await Promise.allSettled(Array.from({ length: parallelism }, work))
    signal?.throwIfAborted()
    const failure = finished.find((one) => one.status === 'rejected')
    if (failure) throw failure.reason
    return counts
  }
}

/** Reads the databases page by page: memory does not grow with their number. */
async function* readAll(
  catalog: FleetDatabases,
  tenantIds: readonly string[] | undefined,
): AsyncGenerator<FleetDatabase, void, undefined> {
  let page = await catalog.page(undefined, tenantIds)
  while (page.length > 0) {
    yield* page
    page = await catalog.page(page.at(-1)?.tenant.id, tenantIds)
  }
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

function unreadable(slug: string, cause: unknown): TenancyError {
  const known = findTenancyError(cause)
  if (known) return known
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new TenancyError(
    'TENANCY_DATABASE_UNAVAILABLE',
    `The structure of the database of tenant "${slug}" cannot be read: ${reason}`,
    { cause },
  )
}
