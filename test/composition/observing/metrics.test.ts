import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { renderMetrics } from '../../../src/composition/observing/metrics.js'
import type { TenancyStats } from '../../../src/composition/observing/stats.js'
import type { Tenancy } from '../../../src/tenancy-interface.js'
import { createTestTenancies, type TestTenancies } from '../../support/tenancy.js'

let installation: TestTenancies
let tenancy: Tenancy

beforeAll(async () => {
  installation = await createTestTenancies()
  tenancy = await installation.open({ TENANT_MAX_CONNECTIONS: '3', TENANT_MAX_TENANT_CONNECTIONS: '2' })
})
afterAll(() => installation.drop())

/** Every sample of the text, by name and labels. Throws for a line that the format does not have. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const typed = new Set<string>()
  for (const line of text.trimEnd().split('\n')) {
    const [, name] = /^# TYPE ([a-z0-9_]+) (?:gauge|counter)$/.exec(line) ?? []
    if (name !== undefined) typed.add(name)
    else if (!/^# HELP [a-z0-9_]+ \S/.test(line)) {
      const [, key, metric, value] = /^((\w+)(?:\{\w+="(?:[^"\\]|\\["\\n])*"\})?) (-?\d+(?:\.\d+)?)$/.exec(line) ?? []
      if (key === undefined || metric === undefined) throw new Error(`Not a line of the format: ${line}`)
      expect(typed).toContain(metric)
      expect(samples.has(key)).toBe(false)
      samples.set(key, Number(value))
    }
  }
  return samples
}

test('statistics show what is in use, who waits, and for which tenant', async () => {
  const [first, second] = await installation.createTenants(tenancy, 2)
  if (first === undefined || second === undefined) throw new Error('Two tenants were made')
  const pool = tenancy.getTenantPool(first)
  const clients = await Promise.all([pool.connect(), pool.connect()])
  const waiting = pool.query('select 1')
  await tenancy.getTenantPool(second).query('select 1')
  await expect.poll(() => tenancy.stats().idle).toBe(1)
  const stats = tenancy.stats()
  expect(stats).toMatchObject({ maxConnections: 3, inUse: 2, idle: 1, waiting: 1, rejected: 0, connectFailures: 0 })
  expect(stats.tenants).toEqual([
    {
      slug: first.slug,
      databaseId: first.databaseId,
      connections: 2,
      inUse: 2,
      waiting: 1,
      waitingMs: expect.any(Number),
      usedMs: expect.any(Number),
    },
    expect.objectContaining({ slug: second.slug, connections: 1, inUse: 0, waiting: 0, waitingMs: 0 }),
  ])
  const samples = parse(renderMetrics(tenancy, { tenants: true }))
  expect(samples.get('tenants2fast_connections_max')).toBe(3)
  expect(samples.get('tenants2fast_connections{state="in_use"}')).toBe(2)
  expect(samples.get('tenants2fast_connections{state="idle"}')).toBe(1)
  expect(samples.get('tenants2fast_connection_waiters')).toBe(1)
  expect(samples.get(`tenants2fast_tenant_connection_waiters{tenant="${first.slug}"}`)).toBe(1)
  expect(samples.get(`tenants2fast_tenant_connections{tenant="${second.slug}"}`)).toBe(1)
  for (const client of clients) client.release()
  await waiting
})

test('the usedMs of a tenant grows with its use of connections', async () => {
  const [tenant] = await installation.createTenants(tenancy, 1)
  if (tenant === undefined) throw new Error('A tenant was made')
  const used = () => tenancy.stats().tenants.find(({ slug }) => slug === tenant.slug)?.usedMs ?? 0
  const before = used()
  await tenancy.getTenantPool(tenant).query('select pg_sleep(0.1)')
  expect(used() - before).toBeGreaterThanOrEqual(99)
})

test('metrics name no tenant unless that is asked for', async () => {
  const [tenant] = await installation.createTenants(tenancy, 1)
  const text = renderMetrics(tenancy)
  expect(parse(text).size).toBeGreaterThan(10)
  expect(text).not.toContain(tenant?.slug)
  expect(text).not.toContain(tenant?.databaseId)
})

describe('counters', () => {
  test('metrics count opened connections and evictions', async () => {
    const before = parse(renderMetrics(tenancy))
    const tenants = await installation.createTenants(tenancy, 4)
    for (const tenant of tenants) await tenancy.getTenantPool(tenant).query('select 1')
    const after = parse(renderMetrics(tenancy))
    const grown = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0)
    expect(grown('tenants2fast_connections_opened_total')).toBeGreaterThanOrEqual(4)
    expect(grown('tenants2fast_connection_evictions_total')).toBeGreaterThanOrEqual(1)
  })

  test('a label of a metric stays one label, whatever characters it holds', () => {
    const stats: TenancyStats = {
      ...tenancy.stats(),
      tenants: [
        { slug: 'a"b\\c\nd', databaseId: '', connections: 7, inUse: 0, waiting: 0, waitingMs: 0, usedMs: 1500 },
      ],
    }
    const samples = parse(renderMetrics({ stats: () => stats }, { tenants: true }))
    expect(samples.get('tenants2fast_tenant_connections{tenant="a\\"b\\\\c\\nd"}')).toBe(7)
    expect(samples.get('tenants2fast_tenant_connection_used_seconds{tenant="a\\"b\\\\c\\nd"}')).toBe(1.5)
  })
})
