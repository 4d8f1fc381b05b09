import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createTenantDatabaseRecords } from '../../../src/catalog/tenants/tenant-databases.js'
import { lockDatabase, type LockedSession } from '../../../src/databases/server/database-lock.js'
import { databaseLockKey, templateLockKey } from '../../../src/databases/server/lock-keys.js'
import type { TenantDatabases } from '../../../src/databases/tenant-databases.js'
import { withAdmin, withServerAccount } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

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

const nothing = { dropped: [], purged: [], templates: [], failed: [], missing: [], unknown: [] }

/** Leaves catalog and server in the state of a process that died during a build. */
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

/** Holds the lock of a database as its builder does, until the returned function is called. */
async function holdLock(id: string): Promise<{ session: LockedSession; end: () => Promise<void> }> {
  const { host, port, user, password, database } = installation.server
  const pool = new pg.Pool({ host, port, user, password, database, max: 1 })
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  const session = await lockDatabase(pool, databaseLockKey(installation, id))
  if (session === undefined) throw new Error('the lock is held')
  return {
    session,
    async end() {
      await session.release()
      await pool.end()
    },
  }
}

test.each(['row', 'role', 'database', 'identity'] as const)(
  'A build whose process died after making its %s is dropped at once, although its lease still runs',
  async (until) => {
    const id = await leaveDeadBuild(until)
    expect(await databases.reconcile()).toEqual({ ...nothing, dropped: [id] })
    expect(await builtOnServer()).toEqual({ databases: [], roles: [] })
    expect(await sql('select from tenant_databases')).toEqual([])
  },
)

test('A build whose connection is open is not dropped while its lease lasts', async () => {
  const id = await leaveDeadBuild('identity')
  const lock = await holdLock(id)
  const before = await builtOnServer()
  expect(await databases.reconcile()).toEqual(nothing)
  expect(await builtOnServer()).toEqual(before)
  await lock.end()
  expect(await databases.reconcile()).toEqual({ ...nothing, dropped: [id] })
})

test('A builder that was paused for longer than its lease can change nothing any more', async () => {
  const id = await leaveDeadBuild('role')
  const [{ name }] = await sql('update tenant_databases set lease_expires_at = now() where id = $1 returning name', [
    id,
  ])
  const asleep = await holdLock(id)
  expect(await databases.reconcile()).toEqual({ ...nothing, dropped: [id] })
  await expect(asleep.session.query(`create database "${name}"`)).rejects.toThrow()
  const records = createTenantDatabaseRecords(installation.catalog.pool)
  expect(await records.markReady(id, 'dead', 1000, { version: -1, fingerprint: '' })).toBeUndefined()
  expect(await builtOnServer()).toEqual({ databases: [], roles: [] })
  await asleep.end()
})

test('A process that is paused with the lock of a due database, before it has marked the row, does not block the drop', async () => {
  const id = await leaveDeadBuild('identity')
  const due = (ago: string) =>
    sql(
      `update tenant_databases set state = 'dropping', lease_owner = null, lease_expires_at = null,
         drop_after = now() - $2::interval where id = $1`,
      [id, ago],
    )
  const asleep = await holdLock(id)
  await due('5 s')
  expect(await databases.reconcile()).toEqual(nothing)
  await due('1 hour')
  expect(await databases.reconcile()).toEqual({ ...nothing, dropped: [id] })
  expect(await builtOnServer()).toEqual({ databases: [], roles: [] })
  await asleep.end()
})

test('A build that another process took over is not marked ready, and the other process drops its database', async () => {
  const id = await leaveDeadBuild('identity')
  const records = createTenantDatabaseRecords(installation.catalog.pool)
  expect(await records.beginDrop(id, 'new', 15_000)).toMatchObject({ state: 'dropping' })
  expect(await records.markReady(id, 'dead', 1000, { version: -1, fingerprint: '' })).toBeUndefined()
  expect(await records.finishDrop(id, 'dead')).toBeUndefined()
  expect(await sql('select state, lease_owner from tenant_databases')).toEqual([
    { state: 'dropping', lease_owner: 'new' },
  ])
  expect(await databases.reconcile()).toEqual({ ...nothing, dropped: [id] })
})

test('An advisory lock of the same key in another database of the server is ignored', async () => {
  const id = await leaveDeadBuild('identity')
  await withAdmin(async (admin) => {
    await admin.query('select pg_advisory_lock($1)', [databaseLockKey(installation, id)])
    expect(await databases.reconcile()).toEqual({ ...nothing, dropped: [id] })
  })
})

test('Processes that reconcile at once drop a dead build once', async () => {
  const id = await leaveDeadBuild('identity')
  await sql('update tenant_databases set lease_expires_at = now() where id = $1', [id])
  const others = [installation.open().databases, installation.open().databases]
  await Promise.all(others.map((other) => other.templateVersion()))
  const results = await Promise.all([databases, ...others].map((each) => each.reconcile()))
  expect(results.flatMap((result) => result.dropped)).toEqual([id])
  expect(results.flatMap((result) => result.failed)).toEqual([])
})

test('A reconciliation drops no ready or assigned database, and no retired one before it is due', async () => {
  const { tenants } = installation.open()
  const owner = await installation.createUser()
  await tenants.createTenant({ name: 'Acme', slug: 'acme', owner })
  await databases.createTenantDatabase()
  await databases.createTenantDatabase({ reservedFor: '00000000-0000-4000-8000-000000000000' })
  await tenants.createTenant({ name: 'Gone', slug: 'gone', owner })
  await tenants.deleteTenant({ tenant: 'gone' })
  await sql(
    "update tenant_databases set lease_expires_at = now() - interval '1 day' where lease_expires_at is not null",
  )
  const before = await builtOnServer()
  expect(await databases.reconcile()).toEqual(nothing)
  expect(await builtOnServer()).toEqual(before)
})

test('Ready databases of an older schema are dropped when no tenant got them for an hour', async () => {
  const { id } = await databases.createTenantDatabase()
  await installation.writeSchema('0001_more.sql', 'create table more (id int)')
  const newer = installation.open().databases
  expect(await newer.reconcile()).toEqual(nothing)
  await sql('alter table tenant_databases disable trigger tenant_databases_updated_at')
  await sql("update tenant_databases set updated_at = now() - interval '2 hours'")
  await sql('alter table tenant_databases enable trigger tenant_databases_updated_at')
  expect(await newer.reconcile()).toEqual({ ...nothing, dropped: [id] })
})

test('A database whose row has a name that does not follow from its id is not dropped', async () => {
  const id = await leaveDeadBuild('identity')
  const victim = installation.catalog.databaseName
  const [{ name }] = await sql('select name from tenant_databases where id = $1', [id])
  await sql('update tenant_databases set name = $2 where id = $1', [id, victim])
  expect(await databases.reconcile()).toEqual({ ...nothing, failed: [id], unknown: [name] })
  expect(await sql('select 1 as alive')).toEqual([{ alive: 1 }])
  expect(installation.log).toContain('warn: A tenant database could not be dropped')
  await sql('update tenant_databases set name = $2 where id = $1', [id, name])
  expect(await databases.reconcile()).toMatchObject({ dropped: [id] })
})

test('A failed drop keeps the row, and is tried again', async () => {
  const id = await leaveDeadBuild('identity')
  const [{ name }] = await sql('select name from tenant_databases')
  await withAdmin((admin) => admin.query(`alter database "${name}" is_template true`))
  expect(await databases.reconcile()).toEqual({ ...nothing, failed: [id] })
  expect(await sql('select state from tenant_databases')).toEqual([{ state: 'dropping' }])
  await withAdmin((admin) => admin.query(`alter database "${name}" is_template false`))
  expect(await databases.reconcile()).toEqual({ ...nothing, dropped: [id] })
})

test('The drop of a half-dropped database and its role is finished', async () => {
  const { tenants } = installation.open({ retentionDays: 0 })
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
  await tenants.deleteTenant({ tenant: 'acme' })
  const [{ name }] = await sql('select name from tenant_databases')
  // As PostgreSQL leaves it when it is interrupted in the middle of DROP DATABASE.
  await withAdmin((admin) => admin.query('update pg_database set datconnlimit = -2 where datname = $1', [name]))
  expect(await databases.reconcile()).toEqual({ ...nothing, dropped: [tenant.databaseId], purged: [tenant.id] })
  expect(await builtOnServer()).toEqual({ databases: [], roles: [] })
})

test('A missing database is reported when it belongs to a tenant, and removed from the stock when it does not', async () => {
  const { tenants } = installation.open()
  const tenant = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner: await installation.createUser() })
  const ready = await databases.createTenantDatabase()
  await withAdmin(async (admin) => {
    for (const { name } of await sql('select name from tenant_databases')) await admin.query(`drop database "${name}"`)
  })
  expect(await databases.reconcile()).toEqual({ ...nothing, dropped: [ready.id], missing: [tenant.databaseId] })
  expect(await sql('select state from tenant_databases')).toEqual([{ state: 'assigned' }])
  expect(installation.log).toContain('error: Databases of tenants are not on the server: restore them from a backup')
})

test('A database that is not in the catalog is reported and kept, and one of another installation is not reported', async () => {
  const { id, name } = await databases.createTenantDatabase()
  const other = await createInstallation()
  const theirs = other.open({ prefix: installation.prefix }).databases
  await theirs.createTenantDatabase()
  const before = await builtOnServer()
  // As if the catalog had been restored from an older backup.
  await sql('delete from tenant_databases where id = $1', [id])
  expect(await databases.reconcile()).toEqual({ ...nothing, unknown: [name] })
  expect(await theirs.reconcile()).toEqual(nothing)
  expect(await builtOnServer()).toEqual(before)
  await other.drop()
})

test('An unfinished template, and one whose drop was begun, are removed unless a process works on it', async () => {
  const unfinished = `${installation.prefix}template_building`
  const older = `${installation.prefix}template_0123456789abcdef`
  const [{ id }] = await sql('select id from installation')
  await withServerAccount(async (admin) => {
    await admin.query(`create database "${unfinished}"`)
    await admin.query(`create database "${older}"`)
    await admin.query(`comment on database "${older}" is 'tenants2fast template of installation ${id}'`)
  })
  await withAdmin(async (admin) => {
    await admin.query('update pg_database set datconnlimit = -2 where datname = $1', [older])
    const holder = await installation.catalog.pool.connect()
    await holder.query('select pg_advisory_lock($1)', [
      templateLockKey(installation, `${installation.prefix}template_`),
    ])
    expect(await databases.reconcile()).toEqual(nothing)
    holder.release(true)
  })
  const { templates } = await databases.reconcile()
  expect(templates.toSorted()).toEqual([older, unfinished])
  expect((await installation.onServer()).databases).toEqual([
    `${installation.prefix}template_${await databases.templateVersion()}`,
  ])
})

test('A template whose drop was begun is built again by the process that needs it', async () => {
  const template = `${installation.prefix}template_${await databases.templateVersion()}`
  await withAdmin(async (admin) => {
    await admin.query(`alter database "${template}" is_template false`)
    await admin.query('update pg_database set datconnlimit = -2 where datname = $1', [template])
  })
  await expect(databases.createTenantDatabase()).resolves.toMatchObject({ state: 'ready' })
  expect(await databases.reconcile()).toEqual(nothing)
})

test('A reconciliation cleans up after a backend that was killed at any statement of a build', async () => {
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
  expect((await databases.reconcile()).failed).toEqual([])
  const rows = await sql('select name from tenant_databases order by name')
  expect(rows.length).toBe(results.length - failed.length)
  const names = rows.map((row) => row.name)
  expect(await builtOnServer()).toEqual({ databases: names, roles: names })
}, 60_000)

test('Filling the stock in the background first drops the builds of dead processes', async () => {
  const id = await leaveDeadBuild('identity')
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
