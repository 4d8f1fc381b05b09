import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { FleetTenant } from '../../src/core/fleet/ports.js'
import { type CatalogFleet, createCatalogFleet } from './catalog-fleet.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
const usedBytes = () => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

let made: CatalogFleet
beforeEach(async () => {
  made = await createCatalogFleet()
})
afterEach(() => made.catalog.drop())

const many = 10_000
/** Less than what a run would keep of each tenant, which is its id, its slug and a result; more than the noise of the heap. */
const bytesOfATenant = 250

/** Most bytes in use while a run is at its work and at its end, beyond those at its beginning. */
async function growth(run: () => Promise<unknown>): Promise<number> {
  let begun = 0
  let base = 0
  let most = 0
  made.work = async (_tenant: FleetTenant) => {
    begun += 1
    if (begun === 300) base = usedBytes()
    else if (begun % 2000 === 0) most = Math.max(most, usedBytes() - base)
    // What the fixture itself notes.
    made.tried.length = 0
    made.queries.length = 0
  }
  await run()
  expect(begun).toBe(many)
  return Math.max(most, usedBytes() - base)
}

test('A run over 10,000 tenants takes no more memory than one over a few, also where each of them fails', async () => {
  await made.addTenants(many, 1)
  expect(await growth(() => made.fleet.migrate({ parallelism: 4 }))).toBeLessThan(many * bytesOfATenant)

  await made.catalog.pool.query('update tenant_databases set schema_version = 1')
  const failing = growth(() => {
    const note = made.work
    made.work = async (tenant) => {
      await note(tenant)
      throw new Error(`The database of ${tenant.slug} cannot be migrated: ${'x'.repeat(500)}`)
    }
    return made.fleet.migrate({ parallelism: 4 })
  })
  expect(await failing).toBeLessThan(many * bytesOfATenant)
})
