import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readAdminRights } from '../../../src/databases/server/admin-rights.js'
import type { ServerAccount } from '../../../src/core/tenants/database-target.js'
import { createTestAccount, type TestAccount } from '../../support/account.js'
import { withAdmin } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

let installation: Installation
let plain: TestAccount
let server: ServerAccount

/** An account as on managed PostgreSQL: it owns the catalog, and may create databases and roles. */
beforeEach(async () => {
  installation = await createInstallation()
  plain = await createTestAccount('createdb createrole')
  const { databaseName } = installation.catalog
  await withAdmin((admin) => admin.query(`grant connect on database "${databaseName}" to "${plain.name}"`))
  server = { ...installation.server, user: plain.name, password: plain.password }
})
afterEach(async () => {
  await installation.drop()
  await plain.drop()
})

const open = (retentionDays = 0) => installation.open({ server, retentionDays, roleConnectionLimit: 4 })

async function createTenant(slug: string) {
  const { databases, tenants } = open()
  const tenant = await tenants.createTenant({ name: slug, slug, owner: await installation.createUser() })
  const { rows } = await installation.catalog.pool.query(
    'select id, name, role_name as "roleName", epoch, state from tenant_databases where id = $1',
    [tenant.databaseId],
  )
  return { databases, tenants, tenant, database: rows[0], account: databases.targetOf(rows[0]).account }
}

test('With an account that only has CREATEDB and CREATEROLE, one log line names what it cannot do', async () => {
  const { databases } = open()
  await databases.templateVersion()
  await databases.createTenantDatabase()
  expect(installation.log.filter((line) => line.includes('provisioning account'))).toEqual([
    'warn: The provisioning account is no superuser: docs/isolation.md says what is left out',
  ])
})

test('A plain administrator purges a tenant that is connected, also one that revoked its membership', async () => {
  const { databases, tenants, tenant, account, database } = await createTenant('acme')
  const client = new Client(account)
  client.on('error', () => {})
  await client.connect()
  // PostgreSQL 15 lets every role revoke memberships in itself.
  await client.query(`revoke "${database.name}" from "${plain.name}"`).catch(() => {})
  await tenants.deleteTenant({ tenant: 'acme' })
  await databases.dropTenantDatabase(tenant.databaseId as string)
  await expect(client.query('select 1')).rejects.toThrow(/terminat|not queryable|Connection/i)
  expect((await installation.onServer()).roles).toEqual([
    `${installation.prefix}members`,
    `${installation.prefix}owners`,
  ])
})

test('A plain administrator restores what a role changed of itself, and returns what that was', async () => {
  const { databases, tenant, account, database } = await createTenant('acme')
  const id = tenant.databaseId as string
  const client = new Client(account)
  await client.connect()
  expect(await databases.restoreRole(id)).toEqual([])
  await client.query('alter role current_user set search_path = elsewhere')
  await client.query(`alter role current_user in database "${database.name}" set statement_timeout = 1`)
  expect(await databases.restoreRole(id)).toEqual(['settings'])
  await client.query("alter role current_user password 'mine'")
  await client.end()
  const { rows } = await withAdmin((admin) =>
    admin.query("select auth_method as method from pg_hba_file_rules where type = 'host' limit 1"),
  )
  // A server that trusts this machine does not check passwords.
  expect(await databases.restoreRole(id)).toEqual(rows[0].method === 'trust' ? [] : ['password'])
  const again = new Client(account)
  await again.connect()
  await again.end()
})

test('A plain administrator is a member of the roles that it made, and sees their sessions', async () => {
  const { account, database } = await createTenant('acme')
  const [client, admin] = [new Client(account), new Client(server)]
  await Promise.all([client.connect(), admin.connect()])
  try {
    await client.query("select 'mine'")
    const look = () =>
      admin.query('select state, query from pg_stat_activity where datname = $1 and usename = $1', [database.name])
    expect((await look()).rows).toEqual([{ state: 'idle', query: "select 'mine'" }])
    // Without membership (an older release, or the role revoked it), the next start makes the account a member again.
    await withAdmin((superuser) => superuser.query(`revoke "${database.name}" from "${plain.name}" cascade`))
    await admin.query('select 1')
    await withAdmin((superuser) => superuser.query(`grant "${database.name}" to "${plain.name}" with admin option`))
    await open().databases.templateVersion()
    expect((await look()).rows).toEqual([{ state: 'idle', query: "select 'mine'" }])
    // The account may end sessions, and cannot become the tenant's role.
    expect(await readAdminRights(admin)).toEqual({ isSuperuser: false, maySignal: false, mayReadActivity: false })
  } finally {
    await client.end()
    await admin.end()
  }
})
