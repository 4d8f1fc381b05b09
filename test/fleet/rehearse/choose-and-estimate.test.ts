import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FleetTenant } from '../../../src/core/fleet/ports.js'
import {
  chooseDifferent,
  createCandidateCollector,
  distance,
  type Profile,
} from '../../../src/fleet/rehearse/choose-rehearsed.js'
import { estimateRun, fitCost } from '../../../src/fleet/rehearse/estimate.js'

const tenantOf = (slug: string, schemaVersion = 1) => ({ slug, database: { schemaVersion } }) as unknown as FleetTenant
const slugs = (list: readonly { readonly tenant: FleetTenant }[]) => list.map(({ tenant }) => tenant.slug)

describe('the collector', () => {
  test('keeps the largest, largest first, and everything that it saw counts', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1_000_000)), fc.integer({ min: 1, max: 20 }), (sizes, count) => {
        const collector = createCandidateCollector(count)
        for (const [index, bytes] of sizes.entries()) collector.add({ tenant: tenantOf(String(index)), bytes })
        const expected = sizes.toSorted((one, other) => other - one).slice(0, count)
        expect(collector.largest.map(({ bytes }) => bytes)).toEqual(expected)
        expect(collector.total).toEqual({ tenants: sizes.length, bytes: sizes.reduce((sum, bytes) => sum + bytes, 0) })
        const known = new Set(slugs([...collector.largest, ...collector.others]))
        expect(known.size).toBe(collector.largest.length + collector.others.length)
        expect(collector.others.length).toBeLessThanOrEqual(64)
      }),
    )
  })

  test('keeps one of each schema version, however many tenants have another one', () => {
    const collector = createCandidateCollector(1)
    for (let index = 0; index < 1000; index += 1) collector.add({ tenant: tenantOf(`t${index}`), bytes: 10 })
    collector.add({ tenant: tenantOf('rare', 0), bytes: 5 })
    expect(slugs(collector.others)).toContain('rare')
  })
})

const profile = (rows: Readonly<Record<string, number>>, schemaVersion = 1): { profile: Profile; name: string } => ({
  name: JSON.stringify([schemaVersion, rows]),
  profile: { schemaVersion, rows: new Map(Object.entries(rows)) },
})

describe('the most different ones', () => {
  test('are those that are like nobody who was chosen', () => {
    const largest = profile({ orders: 1_000_000, events: 1_000_000 })
    const empty = profile({ orders: 0, events: 0 })
    const events = profile({ orders: 0, events: 900_000 })
    const like = profile({ orders: 900_000, events: 1_100_000 })
    const older = profile({ orders: 900_000, events: 1_000_000 }, 0)
    const chosen = chooseDifferent([largest], [like, events, empty, older], 3)
    expect(chosen).toEqual([older, empty, events])
  })

  test('differ by a table that one of them lacks', () => {
    const one = profile({ orders: 5 }).profile
    expect(distance(one, profile({ orders: 5, own: 0 }).profile)).toBeGreaterThan(0)
    expect(distance(one, one)).toBe(0)
  })
})

describe('the estimate', () => {
  test('tells what each tenant costs from what each byte costs', () => {
    const cost = fitCost([
      { bytes: 1_000_000, ms: 60 },
      { bytes: 2_000_000, ms: 70 },
      { bytes: 3_000_000, ms: 80 },
    ])
    expect(cost?.msPerTenant).toBeCloseTo(50)
    expect(cost?.msPerByte).toBeCloseTo(0.00001)
    expect(
      estimateRun(
        { msPerTenant: 50, msPerByte: 0.00001 },
        { tenants: 10, bytes: 20_000_000, largestBytes: 3_000_000 },
        2,
      ),
    ).toBe(350)
  })

  test('of one tenant that is larger than all others is that tenant’s time', () => {
    const fleet = { tenants: 10, bytes: 1_000_000, largestBytes: 990_000 }
    expect(estimateRun({ msPerTenant: 0, msPerByte: 1 }, fleet, 8)).toBe(990_000)
  })

  test('is never below nothing, whatever was measured', () => {
    const measurement = fc.record({ bytes: fc.integer({ min: 1, max: 1e9 }), ms: fc.integer({ min: 0, max: 1e6 }) })
    fc.assert(
      fc.property(fc.array(measurement, { minLength: 1 }), (measured) => {
        const cost = fitCost(measured)
        expect(cost?.msPerTenant).toBeGreaterThanOrEqual(0)
        expect(cost?.msPerByte).toBeGreaterThanOrEqual(0)
      }),
    )
    expect(fitCost([])).toBeUndefined()
    expect(estimateRun({ msPerTenant: 1, msPerByte: 1 }, { tenants: 0, bytes: 0, largestBytes: 0 }, 2)).toBe(0)
  })
})
