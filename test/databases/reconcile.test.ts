import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { TenantDatabases } from '../../src/databases/tenant-databases.js'
import { withAdmin } from '../support/server.js'
import { createInstallation, type Installation } from './fixture.js'

let installation: Installation
let databases: TenantDatabases
beforeEach(async () => {
  installation = await createInstallation()
  databases = installation.open().databases
  await databases.templateVersion()
})
afterEach(() => installation.drop())

const sql = async (text: string, values: unknown[] = []) => (await installation.catalog.pool.query(text, values)).rows
const isBuilt = (name: string) => /_[0-9a-f]{32}$/.test(name)
const builtOnServer = async () => {
  const { databases: names, roles } = await installation.onServer()
  return { databases: names.filter(isBuilt), roles: roles.filter(isBuilt) }
}

/** Leaves the catalog and the server as a process does that dies during a build. */
async function leaveDeadBuild(until: 'row' | 'role' | 'database' | 'identity'): Promise<string> {
  const { id, name } = await databases.createTenantDatabase()
  await sql(
    "update tenant_databases set state = 'building', lease_owner = 'dead', lease_expires_at = now() + interval '1 minute' where id = $1",
    [id],
  )
  await withAdmin(async (admin) => {
    if (until === 'row' || until === 'role') await admin.query(`drop database "${name}"`)
    if (until === 'row') await admin.query(`drop role "${name}"`)
    if (until === 'database') await admin.query(`alter database "${name}" allow_connections false`)
  })
  return id
}

test.each(['row', 'role', 'database', 'identity'] as const)(
  'a build that died after its %s is left alone while its lease lasts, then dropped',
  async (until) => {
    const id = await leaveDeadBuild(until)
    const before = await builtOnServer()
    expect(await databases.reconcile()).toEqual({ dropped: [], failed: [] })
    expect(await builtOnServer()).toEqual(before)
    await sql('update tenant_databases set lease_expires_at = now() where id = $1', [id])
    expect(await databases.reconcile()).toEqual({ dropped: [id], failed: [] })
    expect(await builtOnServer()).toEqual({ databases: [], roles: [] })
    expect(await sql('select from tenant_databases')).toEqual([])
  },
)

test('two processes that reconcile at once drop a dead build once', async () => {
  const id = await leaveDeadBuild('identity')
  await sql('update tenant_databases set lease_expires_at = now() where id = $1', [id])
  const other = installation.open().databases
  await other.templateVersion()
  const results = await Promise.all([databases.reconcile(), other.reconcile()])
  expect(results.flatMap((result) => result.dropped)).toEqual([id])
  expect(results.flatMap((result) => result.failed)).toEqual([])
})

test('a reconciliation never touches ready and assigned databases', async () => {
  const { tenants } = installation.open()
  const owner = await installation.createUser()
  await tenants.createTenant({ name: 'Acme', slug: 'acme', owner })
  await databases.createTenantDatabase()
  await databases.createTenantDatabase({ reservedFor: '00000000-0000-4000-8000-000000000000' })
  await tenants.createTenant({ name: 'Gone', slug: 'gone', owner })
  await tenants.deleteTenant('gone')
  await sql(
    "update tenant_databases set lease_expires_at = now() - interval '1 day' where lease_expires_at is not null",
  )
  const before = await builtOnServer()
  expect(await databases.reconcile()).toEqual({ dropped: [], failed: [] })
  expect(await builtOnServer()).toEqual(before)
})

test('ready databases of an older schema are dropped when nobody took them for an hour', async () => {
  const { id } = await databases.createTenantDatabase()
  await installation.writeSchema('0001_more.sql', 'create table more (id int)')
  const newer = installation.open().databases
  expect(await newer.reconcile()).toEqual({ dropped: [], failed: [] })
  await sql('alter table tenant_databases disable trigger tenant_databases_updated_at')
  await sql("update tenant_databases set updated_at = now() - interval '2 hours'")
  await sql('alter table tenant_databases enable trigger tenant_databases_updated_at')
  expect(await newer.reconcile()).toEqual({ dropped: [id], failed: [] })
})

test('a row whose name is not its own is not dropped', async () => {
  const id = await leaveDeadBuild('identity')
  const victim = installation.catalog.databaseName
  const [{ name }] = await sql('select name from tenant_databases where id = $1', [id])
  await sql('update tenant_databases set name = $2, lease_expires_at = now() where id = $1', [id, victim])
  expect(await databases.reconcile()).toEqual({ dropped: [], failed: [id] })
  expect(await sql('select 1 as alive')).toEqual([{ alive: 1 }])
  expect(installation.log).toContain('warn: A tenant database could not be dropped')
  await sql('update tenant_databases set name = $2 where id = $1', [id, name])
  expect(await databases.reconcile()).toMatchObject({ dropped: [id] })
})

test('a drop that fails keeps its row and is tried again', async () => {
  const id = await leaveDeadBuild('identity')
  const [{ name }] = await sql('update tenant_databases set lease_expires_at = now() where id = $1 returning name', [
    id,
  ])
  await withAdmin((admin) => admin.query(`alter database "${name}" is_template true`))
  expect(await databases.reconcile()).toEqual({ dropped: [], failed: [id] })
  expect(await sql('select state from tenant_databases')).toEqual([{ state: 'building' }])
  await withAdmin((admin) => admin.query(`alter database "${name}" is_template false`))
  expect(await databases.reconcile()).toEqual({ dropped: [id], failed: [] })
})

test('a backend killed at any statement of a build leaves nothing that a reconciliation does not find', async () => {
  const building = new AbortController()
  const killing = withAdmin(async (admin) => {
    for (; !building.signal.aborted; await sleep(3)) {
      await admin.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = 'tenants2fast' and pid <> pg_backend_pid() and random() < 0.3
            and (datname ~ $1 or query ~ $1)`,
        [`${installation.prefix}[0-9a-f]{32}`],
      )
    }
  })
  const results = []
  for (let round = 0; round < 20; round += 1)
    results.push(...(await Promise.allSettled([databases.createTenantDatabase()])))
  building.abort()
  await killing
  const failed = results.filter((result) => result.status === 'rejected')
  expect(failed.length).toBeGreaterThan(0)
  for (const { reason } of failed) expect(reason).toMatchObject({ code: 'TENANCY_DATABASE_BUILD_FAILED' })
  await sql("update tenant_databases set lease_expires_at = now() where state = 'building'")
  expect((await databases.reconcile()).failed).toEqual([])
  const rows = await sql('select name from tenant_databases order by name')
  expect(rows.length).toBe(results.length - failed.length)
  const names = rows.map((row) => row.name)
  expect(await builtOnServer()).toEqual({ databases: names, roles: names })
}, 60_000)

test('filling the stock in the background clears away dead builds first', async () => {
  const id = await leaveDeadBuild('identity')
  await sql('update tenant_databases set lease_expires_at = now() where id = $1', [id])
  const { databases: stocked } = installation.open({ readyTarget: 1 })
  stocked.refill()
  await vi.waitFor(
    async () =>
      expect(await sql('select state, id <> $1 as other from tenant_databases', [id])).toEqual([
        { state: 'ready', other: true },
      ]),
    10_000,
  )
})
