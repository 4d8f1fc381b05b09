import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { FleetCatalog, FleetConnections, FleetDatabases, FleetTenant } from '../../core/fleet/ports.js'
import type {
  FleetRehearseOptions,
  RehearsalDatabases,
  RehearsalProblem,
  RehearsalReport,
  RehearsedTenant,
} from '../../core/fleet/rehearsal.js'
import { retry } from '../../postgres/outages/retry.js'
import { defaultParallelism } from '../run/run-over-tenants.js'
import { retryRule } from '../run/transient-errors.js'
import {
  type Candidate,
  type CandidateCollector,
  chooseDifferent,
  createCandidateCollector,
  type Profile,
} from './choose-rehearsed.js'
import { estimateRun, fitCost } from './estimate.js'
import { findProblems } from './find-problems.js'
import { recordRehearsal } from './recorded-rehearsal.js'

/** What {@link rehearseFleet} needs. */
export interface RehearseParts {
  readonly catalog: FleetCatalog
  readonly connections: FleetConnections
  readonly databases: Pick<FleetDatabases, 'schema'>
  readonly rehearsals: RehearsalDatabases
  readonly isClosing: () => boolean
}

const defaultTenants = 3
const defaultSampleAboveBytes = 1_073_741_824
const pageSize = 200
/** The database's lock, the snapshot that is read, and the copy. */
const connectionsOfRehearsal = 3

type Chosen = Candidate & Pick<RehearsedTenant, 'chosenBy'>

/** Rehearses the pending files on copies; see `Fleet.rehearse`. */
export async function rehearseFleet(parts: RehearseParts, options: FleetRehearseOptions): Promise<RehearsalReport> {
  const { tenants: count = defaultTenants, parallelism = defaultParallelism, signal } = options
  const startedAt = performance.now()
  const { version } = await parts.databases.schema()
  const { behind, since } = await parts.catalog.overview({}, version)
  const mayGoOn = () => signal?.aborted !== true && !parts.isClosing()
  const tenants: RehearsedTenant[] = []
  const problems: RehearsalProblem[] = []
  const candidates = createCandidateCollector(count)
  if (behind > 0) {
    const release = await parts.connections.reserve(connectionsOfRehearsal)
    try {
      await collect(parts, { version, since }, candidates, mayGoOn)
      const chosen = await choose(parts, candidates, count, signal, mayGoOn)
      for (const each of chosen) {
        const result = mayGoOn() ? await rehearseOne(parts, each, options) : undefined
        if (result === undefined) break
        tenants.push(result)
        problems.push(...findProblems(result))
        await options.onResult?.(result)
        const failed = tenants.filter((tenant) => findProblems(tenant).length > 0).length
        options.onProgress?.({ planned: chosen.length, done: tenants.length, failed })
      }
    } finally {
      release()
    }
  }
  const { total, largest } = candidates
  const measured = tenants.flatMap(({ rehearsal }) =>
    // Of a copy on which a file failed, the time of the others is not known.
    rehearsal === undefined || rehearsal.files.some(({ error }) => error !== undefined)
      ? []
      : [{ bytes: rehearsal.copyBytes, ms: rehearsal.migrationMs }],
  )
  const cost = fitCost(measured)
  const fleet = { ...total, largestBytes: largest[0]?.bytes ?? 0 }
  const report = {
    ...{ version, tenants, problems },
    estimate: cost && { tenants: total.tenants, ms: estimateRun(cost, fleet, parallelism) },
    stopped: mayGoOn() ? undefined : ('signal' as const),
    durationMs: performance.now() - startedAt,
  }
  if (tenants.length > 0) await recordRehearsal(parts.catalog, options.actor, report)
  return report
}

async function collect(
  { catalog, rehearsals }: RehearseParts,
  { version, since }: { readonly version: number; readonly since: string },
  candidates: CandidateCollector,
  mayGoOn: () => boolean,
): Promise<void> {
  const rule = retryRule(mayGoOn)
  for (let after: string | undefined; mayGoOn();) {
    const query = { after, behind: version, since, newOnly: false, limit: pageSize }
    const page = await retry(() => catalog.page({}, query), rule)
    const sizes = await retry(() => rehearsals.sizes(page.map(({ database }) => database.name)), rule)
    for (const tenant of page) candidates.add({ tenant, bytes: sizes.get(tenant.database.name) ?? 0 })
    after = page.at(-1)?.id
    if (page.length < pageSize) return
  }
}

/** The largest ones, and those that differ most from them and from each other. */
async function choose(
  parts: RehearseParts,
  { largest, others }: CandidateCollector,
  count: number,
  signal: AbortSignal | undefined,
  mayGoOn: () => boolean,
): Promise<Chosen[]> {
  const bySize = largest.map((candidate): Chosen => ({ ...candidate, chosenBy: 'size' }))
  if (others.length <= count) return [...bySize, ...others.map((each): Chosen => ({ ...each, chosenBy: 'difference' }))]
  const withProfile = async (candidate: Candidate) => {
    const profile = mayGoOn() ? await readProfile(parts.rehearsals, candidate.tenant, signal) : undefined
    return profile && { ...candidate, profile }
  }
  const read = async (list: readonly Candidate[]) => {
    const profiles = []
    // One by one: they are at most some dozens, and each takes a connection.
    for (const candidate of list) profiles.push(await withProfile(candidate))
    return profiles.filter((profile) => profile !== undefined)
  }
  const different = chooseDifferent(await read(largest), await read(others), count)
  return [...bySize, ...different.map(({ tenant, bytes }): Chosen => ({ tenant, bytes, chosenBy: 'difference' }))]
}

/** Undefined: it cannot be read, so there is nothing to copy either. */
async function readProfile(
  rehearsals: RehearsalDatabases,
  { database }: FleetTenant,
  signal: AbortSignal | undefined,
): Promise<Profile | undefined> {
  try {
    return { schemaVersion: database.schemaVersion, rows: await rehearsals.rowCounts(database, signal) }
  } catch {
    return undefined
  }
}

/** Undefined: it was aborted. */
async function rehearseOne(
  { rehearsals, isClosing }: RehearseParts,
  { tenant: { id, slug, database }, bytes, chosenBy }: Chosen,
  { signal, sampleAboveBytes = defaultSampleAboveBytes }: FleetRehearseOptions,
): Promise<RehearsedTenant | undefined> {
  const about = { tenant: { id, slug }, databaseId: database.id, chosenBy, bytes }
  const how = { tenant: { slug, databaseId: database.id }, bytes, sampleAboveBytes, signal }
  const rule = retryRule(() => signal?.aborted !== true && !isClosing())
  try {
    const rehearsal = await retry(() => rehearsals.rehearse(database, how), rule)
    return { ...about, rehearsal }
  } catch (error) {
    if (signal?.aborted === true) return undefined
    const { code, message } = findTenancyError(error) ?? unavailable(error)
    return { ...about, error: { code, message } }
  }
}

function unavailable(cause: unknown): TenancyError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new TenancyError('TENANCY_DATABASE_UNAVAILABLE', `The database cannot be copied: ${reason}`, { cause })
}
