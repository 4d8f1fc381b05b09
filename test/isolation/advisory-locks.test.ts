import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrateCatalog } from '../../src/catalog/migrate.js'
import { deriveLockKey } from '../../src/postgres/advisory-lock.js'
import { databaseLockKey, templateLockKey } from '../../src/databases/server/lock-keys.js'
import type { TenantDatabases } from '../../src/databases/tenant-databases.js'
import type { Tenants } from '../../src/catalog/tenants/tenants.js'
import { withAdmin } from '../support/server.js'
import { createInstallation, type Installation } from '../databases/fixture.js'

let installation: Installation
let databases: TenantDatabases
let tenants: Tenants
let attackers: Client[]

beforeEach(async () => {
  attackers = []
  installation = await createInstallation()
  ;({ databases, tenants } = installation.open({ retentionDays: 0, migrationLockMs: 300 }))
})
afterEach(async () => {
  for (const attacker of attackers) await attacker.end()
  await installation.drop()
})

async function createTenant(slug: string) {
  const tenant = await tenants.createTenant({ name: slug, slug, owner: await installation.createUser() })
  const databaseId = tenant.databaseId as string
  return { ...tenant, databaseId }
}

/** Opens a session of a hostile tenant. */
async function attackAs(databaseId: string): Promise<Client> {
  const { rows } = await installation.catalog.pool.query(
    'select id, name, role_name as "roleName", epoch, state from tenant_databases where id = $1',
    [databaseId],
  )
  const client = new Client(databases.targetOf(rows[0]).account)
  client.on('error', () => {})
  await client.connect()
  attackers.push(client)
  return client
}

/** Every key that this installation uses or has ever used, as if the secret had leaked. */
const allKeys = (...ids: string[]) => [
  '7205001',
  '7205002',
  deriveLockKey(installation.secret, 'catalog migrations'),
  templateLockKey(installation, `${installation.prefix}template_`),
  ...ids.map((id) => databaseLockKey(installation, id)),
]

async function takeEveryKey(attacker: Client, ...ids: string[]): Promise<void> {
  await attacker.query('select pg_advisory_lock(key::bigint) from unnest($1::text[]) as key', [allKeys(...ids)])
  await attacker.query(
    "select pg_advisory_lock(hashtextextended('tenants2fast database ' || id, 0)) from unnest($1::text[]) as id",
    [ids],
  )
  await attacker.query('select pg_advisory_lock(7205004, hashtext($1)), pg_advisory_lock(7205005, hashtext($2))', [
    `${installation.prefix}template_`,
    `${installation.prefix}members`,
  ])
}

test('A tenant that locks every key of ours in its own database blocks no purge, no build and no migration', async () => {
  const attacker = await createTenant('attacker')
  const victim = await createTenant('victim')
  const client = await attackAs(attacker.databaseId)
  await takeEveryKey(client, attacker.databaseId, victim.databaseId)

  await tenants.deleteTenant({ tenant: 'victim' })
  await tenants.purgeTenant({ tenant: 'victim' })
  expect((await installation.onServer()).databases).not.toContain(
    `${installation.prefix}${victim.databaseId.replaceAll('-', '')}`,
  )

  await installation.writeSchema('0001_orders.sql', 'create table orders (id int)')
  const next = installation.open({ migrationLockMs: 300, roleConnectionLimit: 9 }).databases
  // A build of a template, a migration of the attacker and one of another tenant: none waits for the attacker.
  await expect(next.initializeTenantSchema(attacker)).resolves.toEqual(['0001_orders.sql'])
  await expect(next.createTenantDatabase()).resolves.toMatchObject({ state: 'ready' })
  await expect(migrateCatalog(installation.catalog.pool, undefined, { timeoutMs: 300 })).resolves.toEqual([])
  expect(
    (
      await client.query(
        "select count(*)::int as held from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
      )
    ).rows,
  ).toEqual([{ held: 10 }])
})

test('A tenant cannot connect to the database in which our locks are held', async () => {
  const { databaseId } = await createTenant('acme')
  const attacker = await attackAs(databaseId)
  const account = {
    ...databases.targetOf(await records(databaseId)).account,
    database: installation.catalog.databaseName,
  }
  await withAdmin((admin) => admin.query(`revoke all on database "${installation.catalog.databaseName}" from public`))
  const intruder = new Client(account)
  await expect(intruder.connect()).rejects.toMatchObject({ code: '42501' })
  await expect(attacker.query('select 1 as one')).resolves.toMatchObject({ rows: [{ one: 1 }] })
})

test('A wait for a lock that a process of ours never releases ends with a code', async () => {
  const acme = await createTenant('acme')
  const holder = await installation.catalog.pool.connect()
  for (const key of allKeys(acme.databaseId)) await holder.query('select pg_advisory_lock($1)', [key])
  try {
    await expect(databases.initializeTenantSchema(acme)).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_LOCK_TIMEOUT',
      message: expect.stringContaining('the database of tenant "acme"'),
    })
    await expect(migrateCatalog(installation.catalog.pool, undefined, { timeoutMs: 200 })).rejects.toMatchObject({
      code: 'TENANCY_DATABASE_LOCK_TIMEOUT',
    })
  } finally {
    holder.release(true)
  }
  await expect(databases.initializeTenantSchema(acme)).resolves.toEqual([])
})

test('Keys of locks differ by secret, by installation and by database', () => {
  const id = '00000000-0000-7000-8000-000000000000'
  const other = { ...installation, installationId: id }
  const keys = [
    databaseLockKey(installation, id),
    databaseLockKey(other, id),
    databaseLockKey(installation, id.replace('7', '6')),
    databaseLockKey({ ...installation, secret: Buffer.alloc(32, 7) }, id),
    templateLockKey(installation, id),
  ]
  expect(new Set(keys).size).toBe(keys.length)
  for (const key of keys) expect(BigInt.asIntN(64, BigInt(key)).toString()).toBe(key)
})

async function records(databaseId: string) {
  const { rows } = await installation.catalog.pool.query(
    'select id, name, role_name as "roleName", epoch, state from tenant_databases where id = $1',
    [databaseId],
  )
  return rows[0]
}
