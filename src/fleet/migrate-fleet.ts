import { TenancyError } from '../core/errors/errors.js'
import type { FleetMigrateOptions, FleetReport, FleetResult, FleetShare } from '../core/fleet/fleet.js'
import type { FleetCatalog, FleetDatabases, FleetSelection, FleetTenant, NamedTenant } from '../core/fleet/ports.js'
import { retry } from '../postgres/retry.js'
import { createRunResults, type RunResults } from './run-results.js'
import { createTenantSource, type TenantSource } from './tenant-source.js'
import { retryRule } from './transient-errors.js'

/** Tenants that a process migrates at a time within the connections that it has for that anyway. */
export const defaultParallelism = 2

/** What {@link migrateFleet} needs. */
export interface FleetParts {
  readonly catalog: FleetCatalog
  readonly databases: FleetDatabases
}

/** A run under way. */
interface Run extends FleetParts {
  readonly options: FleetMigrateOptions
  readonly results: RunResults
  /** Tenants that were begun. */
  begun: number
  /** Tenants that came while the run goes on and failed: the catalog would name them again. */
  readonly failedNewcomers: Set<string>
  /** Why nothing more may begin. */
  whyStopped(): StopReason | undefined
}

type StopReason = NonNullable<FleetReport['stopped']> | 'callback'

/** Migrates the tenants that the options say; see `Fleet.migrate`. `isClosing`: the installation is being closed. */
export async function migrateFleet(
  parts: FleetParts,
  options: FleetMigrateOptions,
  isClosing: () => boolean,
): Promise<FleetReport> {
  const { catalog, databases } = parts
  const { verify = false, parallelism = defaultParallelism, dryRun = false, signal } = options
  const startedAt = performance.now()
  const { version, namesAfter } = await databases.schema()
  const named = options.tenants && (await findNamed(catalog, options.tenants))
  const selection: FleetSelection = { ids: named?.filter(({ isInUse }) => isInUse).map(({ id }) => id) }
  const { total, behind, since } = await catalog.overview(selection, version)
  const planned = verify ? total : behind
  if (planned > 0 && !dryRun && parallelism > defaultParallelism) await databases.checkBudget(parallelism)

  const results = createRunResults(options, () => planned)
  const stopAfter = countOf(options.stopAfter, planned) ?? Infinity
  const run: Run = {
    ...{ ...parts, options, results, begun: 0, failedNewcomers: new Set() },
    whyStopped() {
      if (results.isBroken) return 'callback'
      if (signal?.aborted === true || isClosing()) return 'signal'
      return results.counts.failed >= stopAfter ? 'failures' : undefined
    },
  }
  results.addCurrent(total - planned)
  await skipUnused(results, named ?? [])
  let stopped: StopReason | undefined
  if (planned > 0) {
    const query = { behind: verify ? undefined : version, since, newOnly: false }
    const tenants = createTenantSource(readPages(run), selection, query)
    stopped = dryRun
      ? await listPending(run, tenants, namesAfter)
      : await migrateAll(run, tenants, countOf(options.canary, planned) ?? 0)
    // Tenants that the previous release has created meanwhile, or brought back.
    if (stopped === undefined && !dryRun && named === undefined) stopped = await catchUp(run, version, since)
  }

  const counts = {
    ...{ version, ...results.counts },
    remaining: stopped === undefined ? 0 : Math.max(0, planned - run.begun),
    stopped: stopped === 'callback' ? undefined : stopped,
  }
  if (run.begun > 0 && !dryRun) {
    await retry(
      () => catalog.recordRun(options.actor ?? null, counts),
      retryRule(() => true),
    )
  }
  results.rethrow()
  return { ...counts, failures: results.failures, durationMs: performance.now() - startedAt }
}

/** Resolves names before anything runs, so that a mistyped one changes nothing. */
async function findNamed(catalog: FleetCatalog, names: readonly string[]): Promise<NamedTenant[]> {
  const found = await catalog.findNamed(names)
  const known = new Set(found.flatMap(({ id, slug }) => [id, slug]))
  const unknown = names.filter((name) => !known.has(name))
  if (unknown.length === 0) return found
  const shown = unknown.slice(0, 10).map((name) => JSON.stringify(name.slice(0, 60)))
  throw new TenancyError(
    'TENANCY_TENANT_NOT_FOUND',
    `No tenant ${shown.join(', ')}${unknown.length > shown.length ? ` and ${unknown.length - shown.length} more` : ''}: ` +
      'check the ids or slugs; nothing was migrated',
  )
}

/** Pages of the catalog, which may be away for a moment. */
function readPages(run: Run): FleetCatalog['page'] {
  const rule = retryRule(() => run.whyStopped() === undefined)
  return (selection, query) => retry(() => run.catalog.page(selection, query), rule)
}

async function skipUnused(results: RunResults, named: readonly NamedTenant[]): Promise<void> {
  for (const { id, slug, databaseId, isInUse } of named) {
    if (isInUse) continue
    await results.add({ tenant: { id, slug }, databaseId, outcome: 'skipped', applied: [], durationMs: 0 })
  }
}

async function listPending(
  run: Run,
  tenants: TenantSource,
  namesAfter: (version: number | null) => readonly string[],
): Promise<StopReason | undefined> {
  for (;;) {
    const reason = run.whyStopped()
    const tenant = reason === undefined ? await tenants.next() : undefined
    if (tenant === undefined) return reason
    run.begun += 1
    const { id, slug, databaseId, schemaVersion } = tenant
    const pending = namesAfter(schemaVersion)
    await run.results.add({
      ...{ tenant: { id, slug }, databaseId, outcome: 'skipped', applied: [], pending, durationMs: 0 },
    })
  }
}

/** Migrates `canary` tenants, and then the others unless one of those has failed. */
async function migrateAll(run: Run, tenants: TenantSource, canary: number): Promise<StopReason | undefined> {
  if (canary > 0) {
    await migrateWave(run, tenants, canary)
    const reason = run.whyStopped()
    if (reason !== undefined) return reason
    if (run.results.counts.failed > 0) return 'canary'
  }
  await migrateWave(run, tenants, Infinity)
  return run.whyStopped()
}

async function catchUp(run: Run, version: number, since: string): Promise<StopReason | undefined> {
  for (let begun = -1; begun < run.begun && run.whyStopped() === undefined;) {
    begun = run.begun
    const newcomers = createTenantSource(readPages(run), {}, { behind: version, since, newOnly: true })
    await migrateWave(run, newcomers, Infinity)
  }
  return run.whyStopped()
}

/** Migrates up to `size` tenants, as many at a time as the options say: each worker takes the next one when it is free. */
async function migrateWave(run: Run, tenants: TenantSource, size: number): Promise<void> {
  const { parallelism = defaultParallelism } = run.options
  let left = size
  const work = async (worker: number) => {
    while (left > 0 && run.whyStopped() === undefined) {
      left -= 1
      const tenant = await tenants.next()
      if (tenant === undefined || run.whyStopped() !== undefined) return
      if (run.failedNewcomers.has(tenant.id)) continue
      run.begun += 1
      await run.results.add(await migrateOne(run, tenant, worker >= defaultParallelism))
    }
  }
  // A page that cannot be read ends its worker: the others finish what they have begun.
  const ended = await Promise.allSettled(
    Array.from({ length: Math.min(parallelism, size) }, (_, worker) => work(worker)),
  )
  for (const end of ended) if (end.status === 'rejected') throw end.reason
}

async function migrateOne(run: Run, tenant: FleetTenant, isExtra: boolean): Promise<FleetResult> {
  const { id, slug, databaseId, isNew } = tenant
  const { verify = false, lockTimeoutMs } = run.options
  const startedAt = performance.now()
  const about = { tenant: { id, slug }, databaseId }
  try {
    const { outcome, applied } = await retry(
      () => run.databases.migrate(tenant, { verify, lockTimeoutMs, isExtra }),
      retryRule(() => run.whyStopped() === undefined),
    )
    if (outcome === 'migrated') run.databases.renew(databaseId)
    return { ...about, outcome, applied, durationMs: performance.now() - startedAt }
  } catch (cause) {
    if (isNew) run.failedNewcomers.add(id)
    // Files before the one that failed were applied.
    run.databases.renew(databaseId)
    const error = cause instanceof Error ? cause : new Error(String(cause))
    return { ...about, outcome: 'failed', applied: [], durationMs: performance.now() - startedAt, error }
  }
}

/** A share of `planned`, rounded up; undefined stays so. */
function countOf(share: FleetShare | undefined, planned: number): number | undefined {
  if (typeof share !== 'string') return share
  return Math.max(1, Math.ceil((planned * Number.parseFloat(share)) / 100))
}
