import type { FleetCatalog, FleetConnections, FleetTenant } from '../../core/fleet/ports.js'
import type {
  FleetRunOptions,
  FleetShare,
  FleetStopReason,
  FleetTenantResult,
  FleetWaveOptions,
} from '../../core/fleet/run.js'
import { retry } from '../../postgres/outages/retry.js'
import type { ChosenTenants } from './choose-tenants.js'
import { createRunResults, type RunResults } from './run-results.js'
import { createTenantSource, type TenantSource } from './tenant-source.js'
import { retryRule } from './transient-errors.js'

/** Tenants that a process works on at a time within the connections that it has to build and migrate anyway. */
export const defaultParallelism = 2

/** What {@link runOverTenants} needs. */
export interface TenantRunParts {
  readonly catalog: FleetCatalog
  readonly connections: FleetConnections
  /** Whether the installation is being closed: nothing more begins. */
  readonly isClosing: () => boolean
}

/** What was done for a tenant. A run counts by outcome; `failed` is a failure to all that asks for failures. */
export interface TenantOutcome {
  readonly outcome: string
}

/** A tenant's result, as the caller gets it. */
export type TenantResult<Outcome extends TenantOutcome> = Outcome & FleetTenantResult

/** What a run does. */
export interface TenantRun<Outcome extends TenantOutcome> {
  readonly options: FleetRunOptions<TenantResult<Outcome>> & FleetWaveOptions
  /** As `chooseTenants` found them. */
  readonly chosen: ChosenTenants
  /** Only tenants with an older schema; the others are counted as `current`. Default: all. */
  readonly behind?: { readonly version: number; readonly current: Outcome['outcome'] } | undefined
  /** Of tenants that come meanwhile, only those with an older schema: what the run has changed is not worked on again. */
  readonly newcomersBehind?: number | undefined
  /** What makes a tenant a newcomer; see `FleetPageQuery.newBy`. `arrival` where the work changes what the catalog has of a database. */
  readonly newBy?: 'arrival' | undefined
  /** A count of 0 for every outcome. */
  readonly zero: Readonly<Record<Outcome['outcome'], number>>
  /**
   * Connections of the provisioning account that a tenant takes, 2 at most. 0: the run asks the catalog alone. It takes
   * the tenants one by one then.
   */
  readonly connections: 0 | 1 | 2
  /** Whether tenants that get a database while the run goes on are part of it. Named tenants are never joined by others. */
  readonly withNewcomers: boolean
  /** Prepares tenants that are begun next, as many as the run works on at a time. Default: nothing is prepared. */
  readonly prepare?: ((tenants: readonly FleetTenant[]) => Promise<FleetTenant[]>) | undefined
  /** Runs before `work`, in none of the slots; what it throws fails the tenant. Default: nothing. */
  before?: ((tenant: FleetTenant) => Promise<void>) | undefined
  /**
   * Works on one tenant. It may be called again after an error that can pass: a full server, a restart, a lost connection.
   * Attempts count from 1.
   */
  work(tenant: FleetTenant, attempt: number): Promise<Outcome>
  /** Makes a result of the last error. Undefined: the run is being ended, and the tenant gets none. */
  fail(tenant: FleetTenant, error: unknown): Outcome | undefined
  /** The outcome of a named tenant without a database in use. Default: it gets none. */
  readonly unused?: Outcome | undefined
  /** Names errors of `work` that can pass, beside those that always may. */
  readonly mayPass?: ((error: unknown) => boolean) | undefined
  /** Called once at the end of a run that began a tenant, however it ended, before an error of the caller's is thrown. */
  readonly record?: (end: TenantRunEnd<Outcome>) => Promise<void>
}

/** How a run ended. */
export interface TenantRunEnd<Outcome extends TenantOutcome> {
  readonly counts: Readonly<Record<Outcome['outcome'], number>>
  /** Tenants that the run was about and did not begin, because it was stopped. */
  readonly remaining: number
  readonly stopped: FleetStopReason | undefined
  /** The first 20 results that failed. */
  readonly failures: readonly TenantResult<Outcome>[]
  readonly durationMs: number
}

/** A run under way. */
interface Running<Outcome extends TenantOutcome> extends TenantRunParts {
  readonly run: TenantRun<Outcome>
  readonly results: RunResults<TenantResult<Outcome>>
  /** Tenants that were begun. */
  begun: number
  /** Tenants that came while the run goes on and that the catalog would name again. */
  readonly triedNewcomers: Set<string>
  /** Why nothing more may begin. */
  readonly whyStopped: () => FleetStopReason | 'callback' | undefined
}

/**
 * Works on every tenant of a selection: the one loop of all functions over the fleet. Tenants are read page by page, so memory
 * does not grow with their number; each worker takes the next one when it is free; errors that can pass are tried again with
 * growing pauses. A tenant that fails is a result and no error of the run.
 *
 * @throws {@link TenancyError} TENANCY_CONNECTION_BUDGET_TOO_LARGE before anything begins, TENANCY_CATALOG_UNAVAILABLE, and
 *   what a function of the caller's throws
 */
export async function runOverTenants<Outcome extends TenantOutcome>(
  parts: TenantRunParts,
  run: TenantRun<Outcome>,
): Promise<TenantRunEnd<Outcome>> {
  const startedAt = performance.now()
  const { options, chosen, behind, zero } = run
  const { total, behind: late, since } = await parts.catalog.overview(chosen.selection, behind?.version ?? -1)
  const planned = behind ? late : total
  const results = createRunResults<TenantResult<Outcome>>(options, zero, planned)
  const stopAfter = countOf(options.stopAfter, planned) ?? Infinity
  const running: Running<Outcome> = {
    ...{ ...parts, run, results, begun: 0, triedNewcomers: new Set() },
    whyStopped() {
      if (results.isBroken) return 'callback'
      if (options.signal?.aborted === true || parts.isClosing()) return 'signal'
      return results.failed >= stopAfter ? 'failures' : undefined
    },
  }
  const release = planned > 0 ? await reserve(running) : undefined
  let stopped: FleetStopReason | 'callback' | undefined
  try {
    if (behind) results.addUnseen(behind.current, total - planned)
    await addUnused(running)
    if (planned > 0) stopped = await workOnAll(running, since, countOf(options.canary, planned) ?? 0)
    // Tenants that the previous release has created meanwhile, or brought back.
    if (planned > 0 && stopped === undefined && run.withNewcomers && chosen.named === undefined) {
      stopped = await catchUp(running, since)
    }
  } finally {
    release?.()
  }

  const end = {
    counts: results.counts,
    remaining: stopped === undefined ? 0 : Math.max(0, planned - running.begun),
    stopped: stopped === 'callback' ? undefined : stopped,
  }
  const { failures } = results
  const finished = { ...end, failures, durationMs: performance.now() - startedAt }
  if (running.begun > 0 && run.record) {
    await retry(
      async () => run.record?.(finished),
      retryRule(() => true),
    )
  }
  results.rethrow()
  return finished
}

/** Reserves the connections of the workers that come on top of {@link defaultParallelism}. */
async function reserve<Outcome extends TenantOutcome>({ run, connections }: Running<Outcome>) {
  const extra = (parallelismOf(run) - defaultParallelism) * run.connections
  return extra > 0 ? connections.reserve(extra) : undefined
}

function parallelismOf<Outcome extends TenantOutcome>({ options, connections }: TenantRun<Outcome>): number {
  return connections === 0 ? 1 : (options.parallelism ?? defaultParallelism)
}

async function addUnused<Outcome extends TenantOutcome>({ run, results }: Running<Outcome>): Promise<void> {
  const { chosen, unused } = run
  if (unused === undefined || chosen.named === undefined) return
  for (const { id, slug, databaseId, isInUse } of chosen.named) {
    if (!isInUse) await results.add({ ...unused, tenant: { id, slug }, databaseId, durationMs: 0 })
  }
}

/** Works on `canary` tenants, and then on the others unless one of those has failed. */
async function workOnAll<Outcome extends TenantOutcome>(running: Running<Outcome>, since: string, canary: number) {
  const tenants = sourceOf(running, since, false)
  if (canary > 0) {
    await workOnWave(running, tenants, canary)
    const reason = running.whyStopped()
    if (reason !== undefined) return reason
    if (running.results.failed > 0) return 'canary'
  }
  await workOnWave(running, tenants, Infinity)
  return running.whyStopped()
}

async function catchUp<Outcome extends TenantOutcome>(running: Running<Outcome>, since: string) {
  for (let begun = -1; begun < running.begun && running.whyStopped() === undefined;) {
    begun = running.begun
    await workOnWave(running, sourceOf(running, since, true), Infinity)
  }
  return running.whyStopped()
}

/** Pages of the catalog, which may be away for a moment. */
function sourceOf<Outcome extends TenantOutcome>(
  { catalog, run, whyStopped }: Running<Outcome>,
  since: string,
  newOnly: boolean,
): TenantSource {
  const rule = retryRule(() => whyStopped() === undefined)
  const read: FleetCatalog['page'] = (selection, query) => retry(() => catalog.page(selection, query), rule)
  const behind = run.behind?.version ?? (newOnly ? run.newcomersBehind : undefined)
  const { prepare } = run
  return createTenantSource(
    ...([read, run.chosen.selection, { behind, since, newOnly, newBy: run.newBy }] as const),
    prepare && { size: parallelismOf(run), prepare: (tenants) => retry(() => prepare(tenants), rule) },
  )
}

/** Works on up to `size` tenants, as many at a time as the options say: each worker takes the next one when it is free. */
async function workOnWave<Outcome extends TenantOutcome>(
  running: Running<Outcome>,
  tenants: TenantSource,
  size: number,
): Promise<void> {
  const { run, results, triedNewcomers, whyStopped } = running
  let left = size
  const work = async (worker: number) => {
    while (left > 0 && whyStopped() === undefined) {
      left -= 1
      const tenant = await tenants.next()
      if (tenant === undefined || whyStopped() !== undefined) return
      if (triedNewcomers.has(tenant.id)) continue
      running.begun += 1
      // One that is no longer behind is not named again.
      if (tenant.isNew && run.withNewcomers && !run.behind) triedNewcomers.add(tenant.id)
      const result = await workOnOne(running, tenant, worker)
      if (tenant.isNew && result?.outcome === 'failed') triedNewcomers.add(tenant.id)
      if (result) await results.add(result)
    }
  }
  // A page that cannot be read ends its worker: the others finish what they have begun.
  const workers = Math.min(parallelismOf(run), size)
  const ended = await Promise.allSettled(Array.from({ length: workers }, (_, worker) => work(worker)))
  for (const end of ended) if (end.status === 'rejected') throw end.reason
}

async function workOnOne<Outcome extends TenantOutcome>(
  { run, connections, whyStopped }: Running<Outcome>,
  tenant: FleetTenant,
  worker: number,
): Promise<TenantResult<Outcome> | undefined> {
  const startedAt = performance.now()
  const { id, slug, database } = tenant
  const isExtra = worker >= defaultParallelism || run.connections === 0
  const once = (attempt: number) => {
    // What was known of it is old by the second time.
    const next = attempt === 1 ? tenant : { ...tenant, isAnnounced: false }
    return isExtra ? run.work(next, attempt) : connections.inSlot(() => run.work(next, attempt))
  }
  const end = (outcome: Outcome) => ({
    ...outcome,
    ...{ tenant: { id, slug }, databaseId: database.id, durationMs: performance.now() - startedAt },
  })
  const rule = retryRule(() => whyStopped() === undefined, run.mayPass)
  try {
    await retry(async () => run.before?.(tenant), rule)
    return end(await retry(once, rule))
  } catch (error) {
    const outcome = run.fail(tenant, error)
    return outcome && end(outcome)
  }
}

/** What was thrown, as an error. */
export function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

/** A share of `planned`, rounded up; undefined stays so. */
function countOf(share: FleetShare | undefined, planned: number): number | undefined {
  if (typeof share !== 'string') return share
  return Math.max(1, Math.ceil((planned * Number.parseFloat(share)) / 100))
}
