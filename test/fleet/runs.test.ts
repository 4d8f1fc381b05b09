import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TenancyError } from '../../src/core/errors/errors.js'
import type { FleetProgress, FleetResult } from '../../src/index.js'
import { type CatalogFleet, createCatalogFleet } from './catalog-fleet.js'

let made: CatalogFleet

beforeEach(async () => {
  made = await createCatalogFleet()
})
afterEach(() => made.catalog.drop())

const broken = () =>
  Promise.reject(new TenancyError('TENANCY_DATABASE_SCHEMA_FAILED', '0002_two.sql, line 1: it is broken'))

/** Server errors as `pg` gives them. */
const serverError = (code: string, message: string) => Object.assign(new Error(message), { code, severity: 'FATAL' })
const unavailable = (cause: Error) =>
  new TenancyError('TENANCY_DATABASE_UNAVAILABLE', `The database cannot be reached: ${cause.message}`, { cause })

test('A fleet of 5,000 tenants that is up to date is recognised by one query of the catalog', async () => {
  await made.addTenants(5000, 2)
  const report = await made.fleet.migrate()
  expect(report).toMatchObject({ version: 2, current: 5000, migrated: 0, failed: 0, remaining: 0, stopped: undefined })
  expect(made.queries).toHaveLength(1)
  expect(made.tried).toEqual([])
  const { rows } = await made.catalog.pool.query("select from audit_log where action = 'fleet.migrate'")
  expect(rows).toEqual([])
})

test('A fleet of thousands is read page by page, each tenant once, and two at a time are migrated', async () => {
  await made.addTenants(1050, 1)
  await made.addTenants(30, null, 'unread')
  await made.addTenants(100, 2, 'current')
  const results: FleetResult[] = []
  const progress: FleetProgress[] = []
  const report = await made.fleet.migrate({
    onResult: (result) => void results.push(result),
    onProgress: (each) => void progress.push(each),
  })
  expect(report).toMatchObject({ migrated: 1080, current: 100, failed: 0, remaining: 0, failures: [] })
  expect(new Set(made.tried).size).toBe(1080)
  expect(made.tried).toHaveLength(1080)
  expect(made.most()).toBe(2)
  expect(results).toHaveLength(1080)
  expect(results[0]).toMatchObject({ outcome: 'migrated', applied: ['0002_two.sql'], tenant: { slug: made.tried[0] } })
  expect(progress.at(-1)).toEqual({ planned: 1080, done: 1080, failed: 0 })
  // The count, six pages, and a look for tenants that have come meanwhile; none of it grows with what is up to date.
  expect(made.queries.filter((text) => text.includes('limit $4'))).toHaveLength(7)
})

test('A run is one entry of the audit log, with its counts and its actor', async () => {
  await made.addTenants(3, 1)
  const actor = '00000000-0000-4000-8000-000000000001'
  await made.fleet.migrate({ actor })
  const { rows } = await made.catalog.pool.query(
    "select actor_id, subject, after from audit_log where action = 'fleet.migrate'",
  )
  expect(rows).toMatchObject([
    { actor_id: actor, subject: 'fleet', after: { version: 2, migrated: 3, failed: 0, current: 0, remaining: 0 } },
  ])
})

test('An estimate of a rehearsal stands beside what the run took', async () => {
  await made.addTenants(3, 1)
  const estimate = { tenants: 3, ms: 1200 }
  expect(await made.fleet.migrate({ estimate })).toMatchObject({ migrated: 3, estimate })
  const { rows } = await made.catalog.pool.query("select after from audit_log where action = 'fleet.migrate'")
  expect(rows).toMatchObject([{ after: { estimate, durationMs: expect.any(Number) } }])
})

test('The last rehearsal is read from the audit log, whoever has made it', async () => {
  expect(await made.fleet.lastRehearsal()).toBeUndefined()
  for (const estimate of [{ tenants: 9, ms: 1 }, null]) {
    await made.catalog.pool.query(
      "insert into audit_log (action, subject, after) values ('fleet.rehearse', 'fleet', $1)",
      [{ version: 2, tenants: 4, problems: 1, estimate }],
    )
    expect(await made.fleet.lastRehearsal()).toEqual({
      ...{ at: expect.any(Date), version: 2, tenants: 4, problems: 1, estimate: estimate ?? undefined },
    })
  }
})

test('What comes before a tenant is told which files it lacks; its error is that tenant’s failure, and nothing is applied', async () => {
  await made.addTenants(2, 1)
  await made.addTenants(1, null, 'unread')
  await made.addTenants(1, 2, 'current')
  const told: string[] = []
  const beforeTenant = async ({ slug }: { readonly slug: string }, pending: readonly string[]) => {
    told.push(`${slug}: ${pending.join(', ')}`)
    if (slug === 'tenant-1') throw new Error('the disk is full')
  }
  expect(await made.fleet.migrate({ beforeTenant, dryRun: true })).toMatchObject({ skipped: 3 })
  expect(told).toEqual([])
  const report = await made.fleet.migrate({ beforeTenant, verify: true })
  expect(report).toMatchObject({ migrated: 3, failed: 1, failures: [{ error: { message: 'the disk is full' } }] })
  expect(told.toSorted()).toEqual([
    'tenant-1: 0002_two.sql',
    'tenant-2: 0002_two.sql',
    'unread-1: 0001_one.sql, 0002_two.sql',
  ])
  expect(made.tried.toSorted()).toEqual(['current-1', 'tenant-2', 'unread-1'])
})

test('A dry run names the files for each tenant, by what the catalog knows, and begins nothing', async () => {
  await made.addTenants(2, 1)
  await made.addTenants(1, null, 'unread')
  await made.addTenants(1, 2, 'current')
  const results: FleetResult[] = []
  const report = await made.fleet.migrate({ dryRun: true, onResult: (result) => void results.push(result) })
  expect(report).toMatchObject({ migrated: 0, current: 1, skipped: 3 })
  expect(made.tried).toEqual([])
  const pending = Object.fromEntries(results.map(({ tenant, pending: names }) => [tenant.slug, names]))
  expect(pending).toEqual({
    'tenant-1': ['0002_two.sql'],
    'tenant-2': ['0002_two.sql'],
    'unread-1': ['0001_one.sql', '0002_two.sql'],
  })
  const { rows } = await made.catalog.pool.query("select from audit_log where action = 'fleet.migrate'")
  expect(rows).toEqual([])
})

test('Verification looks into every database, also those that the catalog knows to be up to date', async () => {
  await made.addTenants(3, 2)
  await made.fleet.migrate({ verify: true })
  expect(made.tried.toSorted()).toEqual(['tenant-1', 'tenant-2', 'tenant-3'])
})

test('Suspended tenants are migrated, and deleted ones are left for when they come back', async () => {
  await made.addTenants(3, 1)
  await made.catalog.pool.query("update tenants set status = 'suspended', suspended_at = now() where slug = 'tenant-1'")
  await made.catalog.pool.query("update tenants set status = 'deleted', deleted_at = now() where slug = 'tenant-2'")
  const results: FleetResult[] = []
  await made.fleet.migrate({ tenants: ['tenant-1', 'tenant-2'], onResult: (result) => void results.push(result) })
  expect(made.tried).toEqual(['tenant-1'])
  expect(results.map(({ tenant, outcome }) => `${tenant.slug} ${outcome}`).toSorted()).toEqual([
    'tenant-1 migrated',
    'tenant-2 skipped',
  ])
  await made.fleet.migrate()
  expect(made.tried).toEqual(['tenant-1', 'tenant-3'])
})

test('A file that fails everywhere touches at most as many tenants as may fail and run at a time', async () => {
  await made.addTenants(40, 1)
  made.work = broken
  const report = await made.fleet.migrate({ parallelism: 4, stopAfter: 3 })
  expect(report.stopped).toBe('failures')
  expect(made.tried.length).toBeGreaterThanOrEqual(3)
  expect(made.tried.length).toBeLessThanOrEqual(3 + 4 - 1)
  expect(report.failed).toBe(made.tried.length)
  expect(report.remaining).toBe(40 - made.tried.length)
  expect(report.failures[0]).toMatchObject({ outcome: 'failed', error: { code: 'TENANCY_DATABASE_SCHEMA_FAILED' } })

  made.tried.length = 0
  expect(await made.fleet.migrate({ parallelism: 1, stopAfter: '10%' })).toMatchObject({ failed: 4, remaining: 36 })
  // The report keeps some of the failures, however many there are.
  expect(await made.fleet.migrate()).toMatchObject({ failed: 40, remaining: 0, stopped: undefined })
  expect((await made.fleet.migrate()).failures).toHaveLength(20)
})

test('The others follow the canary tenants only if none of those has failed', async () => {
  await made.addTenants(30, 1)
  made.work = broken
  expect(await made.fleet.migrate({ canary: '10%' })).toMatchObject({ failed: 3, remaining: 27, stopped: 'canary' })
  expect(made.tried).toHaveLength(3)
  const refused = new Set(made.tried)

  made.tried.length = 0
  let finished = 0
  made.work = async () => {
    await turn()
    // No other tenant is begun before both canary tenants are done.
    if (made.tried.length > 2) expect(finished).toBeGreaterThanOrEqual(2)
    finished += 1
  }
  expect(await made.fleet.migrate({ canary: 2, parallelism: 8 })).toMatchObject({ migrated: 30, stopped: undefined })
  expect(refused).toContain(made.tried[0])
})

test('An aborted run finishes what it has begun, begins nothing more, and says what is left', async () => {
  await made.addTenants(10, 1)
  const abort = new AbortController()
  made.work = async () => {
    if (made.tried.length === 4) abort.abort()
    await turn()
  }
  const report = await made.fleet.migrate({ signal: abort.signal })
  expect(report.stopped).toBe('signal')
  expect(report.failed).toBe(0)
  expect(report.migrated).toBe(made.tried.length)
  expect(report.migrated + report.remaining).toBe(10)
  expect(await made.fleet.migrate({ signal: AbortSignal.abort() })).toMatchObject({ migrated: 0, stopped: 'signal' })
  made.work = async () => {}
  expect(await made.fleet.migrate()).toMatchObject({ migrated: report.remaining, current: report.migrated })
})

test('A closing fleet waits for the tenants under way and refuses further runs', async () => {
  await made.addTenants(5, 1)
  let closed: Promise<void> | undefined
  made.work = async () => {
    closed ??= made.fleet.close()
    await turn()
  }
  const report = await made.fleet.migrate()
  await closed
  expect(report).toMatchObject({ migrated: made.tried.length, failed: 0, stopped: 'signal' })
  expect(report.migrated).toBeLessThanOrEqual(2)
  expect(report.migrated + report.remaining).toBe(5)
  await expect(made.fleet.migrate()).rejects.toMatchObject({ code: 'TENANCY_CLOSED' })
})

test('A tenant that the previous release creates while the run goes on is migrated, and tried once if it fails', async () => {
  await made.addTenants(3, 1)
  const adding = made.addTenants.bind(made)
  let added: Promise<void> | undefined
  made.work = async ({ slug }) => {
    await (added ??= adding(5, 1, 'new'))
    if (slug === 'new-3') await broken()
  }
  expect(await made.fleet.migrate()).toMatchObject({ migrated: 7, failed: 1, remaining: 0, stopped: undefined })
  expect(new Set(made.tried)).toContain('new-1')
  expect(made.tried.filter((slug) => slug === 'new-3')).toEqual(['new-3'])
})

test('A full server, a lost connection and another runner’s lock are waited for, within limits', async () => {
  await made.addTenants(4, 1)
  const errors: Record<string, () => Error> = {
    'tenant-1': () => unavailable(serverError('53300', 'sorry, too many clients already')),
    'tenant-2': () => unavailable(new Error('Connection terminated unexpectedly')),
    'tenant-3': () => new TenancyError('TENANCY_DATABASE_LOCK_TIMEOUT'),
    'tenant-4': () => unavailable(serverError('3D000', 'database "x" does not exist')),
  }
  const failed = new Set<string>()
  made.work = async ({ slug }) => {
    if (failed.has(slug)) return
    failed.add(slug)
    throw errors[slug]?.()
  }
  const report = await made.fleet.migrate({ parallelism: 4 })
  expect(report).toMatchObject({ migrated: 3, failed: 1 })
  expect(report.failures[0]).toMatchObject({ tenant: { slug: 'tenant-4' } })
  expect(made.tried).toHaveLength(4 + 3)
})

test('An error of the caller’s own function ends the run, which throws it after what was begun', async () => {
  await made.addTenants(10, 1)
  await expect(made.fleet.migrate({ onResult: () => Promise.reject(new Error('the pipe is closed')) })).rejects.toThrow(
    'the pipe is closed',
  )
  expect(made.tried.length).toBeLessThanOrEqual(3)
  const { rows } = await made.catalog.pool.query("select after from audit_log where action = 'fleet.migrate'")
  expect(rows).toMatchObject([{ after: { migrated: made.tried.length } }])
})

test('A tenant that nobody knows is refused before anything runs', async () => {
  await made.addTenants(2, 1)
  await expect(made.fleet.migrate({ tenants: ['tenant-1', 'nobody', 'No Tenant'] })).rejects.toMatchObject({
    code: 'TENANCY_TENANT_NOT_FOUND',
    message: expect.stringContaining('"nobody", "No Tenant"'),
  })
  expect(made.tried).toEqual([])
})

test('The status counts tenants by version and names the first that are behind', async () => {
  await made.addTenants(3, 1)
  await made.addTenants(1, null, 'unread')
  await made.addTenants(5, 2, 'current')
  await made.addTenants(1, 7, 'newer')
  expect(await made.fleet.status({ limit: 2 })).toEqual({
    version: 2,
    versions: [
      { version: null, tenants: 1 },
      { version: 1, tenants: 3 },
      { version: 2, tenants: 5 },
      { version: 7, tenants: 1 },
    ],
    behind: 4,
    tenantsBehind: [expect.objectContaining({ id: expect.any(String) }), expect.anything()],
    ...{ failed: 0, tenantsFailed: [] },
  })
  expect((await made.fleet.status({ limit: 0 })).tenantsBehind).toEqual([])
})
