import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createTenantDatabaseRecords } from '../../../src/catalog/tenants/tenant-databases.js'
import { createReconciler } from '../../../src/databases/lifecycle/reconciler.js'
import { createInstallation, type Installation } from '../fixture.js'

const logged: string[] = []
const log = (_: object, message: string) => void logged.push(message)
const logger = { debug: log, info: log, warn: log, error: log }
beforeEach(() => {
  logged.length = 0
})

test('Every process runs the first reconciliation, which is thorough; of the later ones every twelfth is', async () => {
  const passes: boolean[] = []
  const reconciler = createReconciler({
    reconcile: async (isThorough) => void passes.push(isThorough),
    lead: async () => true,
    intervalMs: 1,
    logger,
  })
  reconciler.start()
  reconciler.start()
  await vi.waitFor(() => expect(passes.length).toBeGreaterThan(13), 10_000)
  await reconciler.close()
  expect(passes.slice(0, 14)).toEqual([true, ...Array.from({ length: 11 }, () => false), true, false])
})

test('A process that does not lead reconciles once', async () => {
  let passes = 0
  let asked = 0
  const reconciler = createReconciler({
    reconcile: async () => void (passes += 1),
    lead: async () => (asked += 1) < 0,
    intervalMs: 1,
    logger,
  })
  reconciler.start()
  await vi.waitFor(() => expect(asked).toBeGreaterThan(3), 10_000)
  await reconciler.close()
  expect(passes).toBe(1)
})

test('Errors do not end the reconciler, and are logged once while they last', async () => {
  let passes = 0
  const reconciler = createReconciler({
    reconcile: async () => {
      passes += 1
      if (passes !== 4) throw new Error('no server')
    },
    lead: async () => true,
    intervalMs: 1,
    logger,
  })
  reconciler.start()
  await vi.waitFor(() => expect(passes).toBeGreaterThan(8), 10_000)
  await reconciler.close()
  expect(logged).toEqual(Array.from({ length: 2 }, () => 'Tenant databases could not be reconciled'))
})

test('Closing the reconciler ends its pause, and no pass runs afterwards', async () => {
  let passes = 0
  const options = { lead: async () => true, intervalMs: 3_600_000, logger }
  const reconciler = createReconciler({ ...options, reconcile: async () => void (passes += 1) })
  reconciler.start()
  await vi.waitFor(() => expect(passes).toBe(1))
  await reconciler.close()
  const never = createReconciler({ ...options, reconcile: async () => void (passes += 1) })
  await never.close()
  never.start()
  await never.close()
  expect(passes).toBe(1)
})

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
})
afterEach(() => installation.drop())

test('One process leads the reconciliation of a server, and another takes over when the leader’s lease has expired', async () => {
  const records = createTenantDatabaseRecords(installation.catalog.pool)
  const server = await records.serverId('default')
  const lead = (leader: string, leaseMs = 60_000) => records.lead(server, leader, leaseMs)
  expect([await lead('one'), await lead('two'), await lead('one')]).toEqual([true, false, true])
  await lead('one', 0)
  expect([await lead('two'), await lead('one')]).toEqual([true, false])
})

test('Dead builds and tenants past their retention are dropped in the background', async () => {
  const { databases, tenants } = installation.open({ retentionDays: 0, reconcileIntervalMs: 20 })
  databases.keepReconciled()
  const owner = await installation.createUser()
  await tenants.createTenant({ name: 'Acme', slug: 'acme', owner })
  const { id } = await databases.createTenantDatabase()
  await sleep(50)
  await installation.catalog.pool.query(
    "update tenant_databases set state = 'building', lease_owner = 'dead', lease_expires_at = now() + interval '1 minute' where id = $1",
    [id],
  )
  await tenants.deleteTenant({ tenant: 'acme' })
  await vi.waitFor(async () => {
    const { rows } = await installation.catalog.pool.query('select from tenant_databases union all select from tenants')
    expect(rows).toEqual([])
  }, 20_000)
  const { databases: names } = await installation.onServer()
  expect(names).toHaveLength(1)
  await databases.close()
})
