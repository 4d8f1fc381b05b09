import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TenantDatabases } from '../../src/databases/tenant-databases.js'
import type { Tenants } from '../../src/catalog/tenants/tenants.js'
import { createTenantDatabaseRecords } from '../../src/catalog/tenants/tenant-databases.js'
import { createInstallation, type Installation } from '../databases/fixture.js'
import { CompiledProgram } from '../support/processes/compiled-program.js'
import type { StatementBoundary, StatementPhase } from '../support/proxies/pg-proxy.js'
import { withAdmin } from '../support/server.js'
import { forkBehindProxy } from './fork-behind-proxy.js'

// Every statement is tried in `npm run soak -- faults`, which sets the variable; otherwise every third.
const step = process.env['T2F_FAULT_RUNS'] === undefined ? 3 : 1

let program: CompiledProgram
let installation: Installation
/** The previous and the new release: the same folder, opened before and after a file was added. */
let older: { databases: TenantDatabases; tenants: Tenants }
let newer: { databases: TenantDatabases; tenants: Tenants }
let owner: string

beforeAll(async () => {
  program = new CompiledProgram('test/faults/migration-process.ts')
  installation = await createInstallation()
  owner = await installation.createUser()
  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
  older = installation.open()
  await older.databases.templateVersion()
  await installation.writeSchema('0002_items.sql', 'create table items (id int)')
  newer = installation.open()
  await newer.databases.templateVersion()
})
afterAll(async () => {
  program.remove()
  await installation.drop()
})

/** Migrates a tenant in a process of its own, behind a proxy that reports every statement. */
async function migrate(slug: string, onBoundary: (boundary: StatementBoundary, kill: () => void) => Promise<void>) {
  const { child, proxy } = await forkBehindProxy(program.path, slug, installation, { TENANT_READY_DATABASES: '0' })
  proxy.onBoundary = (boundary) => onBoundary(boundary, () => child.kill('SIGKILL'))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  await proxy.close()
  return { code, signal }
}

/** Returns a test for statements of a migration, including the one in the catalog. */
function migrationStatements() {
  const pids = new Set<number | undefined>()
  // The first statements of the two connections: the provisioning account's, which reads the identity row, and that of the
  // owner login. None like them runs in the catalog.
  const first = ['from tenants2fast.identity', 'set role "']
  return (boundary: StatementBoundary): boolean => {
    if (first.some((text) => boundary.text.includes(text))) pids.add(boundary.pid)
    return (boundary.pid !== undefined && pids.has(boundary.pid)) || boundary.text.includes('set schema_version')
  }
}

const create = (slug: string) => older.tenants.createTenant({ name: slug, slug, owner })
const phases: readonly StatementPhase[] = ['before', 'sent', 'after']

test('A tenant whose migration was killed at any statement is brought up to date by the next process', async () => {
  await create('measured')
  const seen = new Set<number>()
  const isOne = migrationStatements()
  const measured = await migrate('measured', async (boundary) => {
    if (isOne(boundary)) seen.add(boundary.statement)
  })
  expect(measured).toEqual({ code: 0, signal: null })
  // Statements for privileges, lock, ledger, file, catalog and lock.
  expect(seen.size).toBeGreaterThan(10)
  const records = createTenantDatabaseRecords(installation.catalog.pool)
  for (let target = 1, run = 0; target <= seen.size; target += step, run += 1) {
    const tenant = await create(`killed-${target}`)
    const phase = phases[run % 3]
    const isOf = migrationStatements()
    const mine = new Set<number>()
    const { signal } = await migrate(tenant.slug, async (boundary, kill) => {
      if (!isOf(boundary)) return
      mine.add(boundary.statement)
      if (mine.size !== target || boundary.phase !== phase) return
      kill()
      await new Promise(() => {})
    })
    expect([target, signal]).toEqual([target, 'SIGKILL'])
    const database = await records.find(tenant.databaseId ?? '')
    const { rows } = await withAdmin(
      (admin) => admin.query('select max(version)::int as version from tenants2fast.schema_migrations'),
      database?.name,
    )
    // The catalog is behind or right, never ahead.
    expect(database?.schemaVersion).toBeLessThanOrEqual(rows[0].version)
    for (const deadline = Date.now() + 20_000; ; await sleep(50)) {
      const current = await records.find(tenant.databaseId ?? '')
      if (current === undefined) throw new Error('the row is gone')
      const outcome = await newer.databases.demandSchema(current, tenant.slug).then(
        () => 'current',
        (error: unknown) => (error as { code: string }).code,
      )
      if (outcome === 'current') break
      expect([outcome, Date.now() < deadline]).toEqual(['TENANCY_DATABASE_SCHEMA_BEHIND', true])
    }
    expect(await records.find(tenant.databaseId ?? '')).toMatchObject({ schemaVersion: 2 })
    const tables = await withAdmin(
      (admin) => admin.query("select to_regclass('items') is not null as found"),
      database?.name,
    )
    expect(tables.rows).toEqual([{ found: true }])
  }
  expect(await newer.tenants.listTenants({ behind: true })).toEqual([])
}, 600_000)
