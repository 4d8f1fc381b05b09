import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Tenants } from '../../src/catalog/tenants/tenants.js'
import type { TenantDatabases } from '../../src/databases/tenant-databases.js'
import { createTestAccount } from '../support/account.js'
import { superuser, testWith } from '../support/requirements.js'
import { withAdmin } from '../support/server.js'
import { createInstallation, type Installation } from '../databases/fixture.js'

let installation: Installation
const clients: Client[] = []
beforeEach(async () => {
  installation = await createInstallation()
})
afterEach(async () => {
  for (const client of clients.splice(0)) await client.end()
  await installation.drop()
})

async function createTenant({ databases, tenants }: { databases: TenantDatabases; tenants: Tenants }, slug = 'acme') {
  const tenant = await tenants.createTenant({ name: slug, slug, owner: await installation.createUser() })
  const { rows } = await installation.catalog.pool.query(
    'select id, name, role_name as "roleName", epoch, state from tenant_databases where id = $1',
    [tenant.databaseId],
  )
  const connect = async () => {
    const client = new Client(databases.targetOf(rows[0]).account)
    clients.push(client)
    await client.connect()
    return client
  }
  return { tenant, connect, name: rows[0].name as string }
}

const forbidden = [
  'select pg_advisory_lock(1)',
  'select pg_try_advisory_lock_shared(1, 2)',
  'select pg_advisory_xact_lock(1)',
  "select pg_notify('a', 'b')",
  'select lo_create(0)',
  "select lo_from_bytea(0, 'x')",
  "select pg_logical_emit_message(false, 'a', 'b')",
]
// Statements that have no privilege to revoke, and those that reset a session.
const allowed = ["notify a, 'b'", 'listen a', 'select pg_advisory_unlock_all()', 'discard all']

testWith(
  superuser,
  'In a hardened installation tenants cannot call functions that use up what the server shares',
  async () => {
    const open = installation.open({ isHardened: true })
    const { connect } = await createTenant(open)
    const client = await connect()
    for (const text of forbidden) await expect(client.query(text), text).rejects.toMatchObject({ code: '42501' })
    for (const text of allowed) await client.query(text)
  },
)

testWith(superuser, 'An existing tenant is hardened by its next migration', async () => {
  const { tenant, connect } = await createTenant(installation.open())
  const client = await connect()
  for (const text of forbidden) await client.query(text)
  const { databases } = installation.open({ isHardened: true })
  await databases.initializeTenantSchema(tenant)
  for (const text of forbidden) await expect(client.query(text), text).rejects.toMatchObject({ code: '42501' })
})

test('A hardened start with an account whose REVOKE has no effect fails and names the functions', async () => {
  const plain = await createTestAccount('createdb createrole')
  await withAdmin((admin) =>
    admin.query(`grant connect on database "${installation.catalog.databaseName}" to "${plain.name}"`),
  )
  const server = { ...installation.server, user: plain.name, password: plain.password }
  const { databases } = installation.open({ server, isHardened: true })
  await expect(databases.templateVersion()).rejects.toMatchObject({
    code: 'TENANCY_CONFIG_INVALID',
    message: expect.stringMatching(/TENANT_HARDENED has no effect on \d+ functions, .*pg_advisory_lock\(bigint\)/),
  })
  const { databases: left } = await installation.onServer()
  expect(left).toEqual([])
  await installation.drop()
  await plain.drop()
  installation = await createInstallation()
})

testWith(
  superuser,
  'Temporary files have a limit that a tenant cannot lift and that does not bind migrations',
  async () => {
    const first = installation.open({ tempFileLimitMb: 1 })
    const { connect, tenant, name } = await createTenant(first)
    const client = await connect()
    const sort = 'select n from generate_series(1, 60000) as n order by md5(n::text)'
    await client.query("set work_mem = '64kB'")
    await expect(client.query(sort)).rejects.toMatchObject({ code: '53400' })
    for (const text of ['set temp_file_limit = -1', 'alter role current_user set temp_file_limit = -1']) {
      await expect(client.query(text)).rejects.toMatchObject({ code: '42501' })
    }
    await installation.writeSchema('0001_large.sql', `set local work_mem = '64kB'; create table large as ${sort}`)
    const second = installation.open({ tempFileLimitMb: 2 })
    await expect(second.databases.initializeTenantSchema(tenant)).resolves.toEqual(['0001_large.sql'])
    expect(await limitOf(name)).toEqual(['temp_file_limit=2MB'])
    await installation.open().databases.templateVersion()
    expect(await limitOf(name)).toBeUndefined()
  },
)

async function limitOf(name: string): Promise<string[] | undefined> {
  const { rows } = await withAdmin((admin) =>
    admin.query<{ setconfig: string[] }>(
      'select setconfig from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase where datname = $1',
      [name],
    ),
  )
  return rows[0]?.setconfig
}
