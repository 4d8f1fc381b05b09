import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isVerifierOf, scramVerifier } from '../../../src/databases/server/role-password.js'
import { withAdmin } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
})
afterEach(() => installation.drop())

test('Password and settings that a role gave itself are undone, and nothing else is changed', async () => {
  const { databases, tenants } = installation.open()
  const owner = await installation.createUser()
  const acme = await tenants.createTenant({ name: 'Acme', slug: 'acme', owner })
  const other = await tenants.createTenant({ name: 'Other', slug: 'other', owner })
  const { rows } = await installation.catalog.pool.query(
    'select id, name, role_name as "roleName", epoch, state from tenant_databases where id = $1',
    [acme.databaseId],
  )
  const { account } = databases.targetOf(rows[0])
  const asTenant = async (...statements: string[]) => {
    const client = new Client(account)
    await client.connect()
    for (const statement of statements) await client.query(statement)
    await client.end()
  }
  const id = acme.databaseId ?? ''
  expect(await databases.restoreRole(id)).toEqual([])
  await asTenant(
    'alter role current_user set search_path = elsewhere',
    `alter role current_user in database "${rows[0].name}" set statement_timeout = 1`,
    "alter role current_user password 'mine'",
  )
  expect(await databases.restoreRole(id)).toEqual(['password', 'settings'])
  // Drops what it owns and the group's default privileges; it cannot drop what it was granted.
  await asTenant('drop owned by current_user', `drop owned by "${installation.prefix}members"`)
  await asTenant('select * from tenants2fast.identity')
  expect(await databases.restoreRole(id)).toEqual(['privileges'])
  expect(await databases.restoreRole(id)).toEqual([])
  await asTenant('alter role current_user password null')
  expect(await databases.restoreRole(id)).toEqual(['password'])
  await asTenant('create temp table t (id int)')
  expect(await databases.restoreRole(id)).toEqual([])
  expect(await databases.restoreRole(other.databaseId ?? '')).toEqual([])
  // Nothing for a database that is not assigned or does not exist.
  const ready = await databases.createTenantDatabase()
  await withAdmin((admin) => admin.query(`alter role "${ready.roleName}" set work_mem = '1MB'`))
  expect(await databases.restoreRole(ready.id)).toEqual([])
  expect(await databases.restoreRole('00000000-0000-7000-8000-000000000000')).toEqual([])
})

test('A password verifier of many iterations is refused without computing them', () => {
  const own = scramVerifier('secret')
  expect(isVerifierOf(own, 'secret')).toBe(true)
  expect(isVerifierOf(scramVerifier('secret', { iterations: 4096 }), 'secret')).toBe(true)
  expect(isVerifierOf(own, 'other')).toBe(false)
  const started = performance.now()
  const [, rest] = own.split('$1:')
  for (const verifier of [`SCRAM-SHA-256$2147483647:${rest}`, `SCRAM-SHA-256$0:${rest}`, 'md5abc', '']) {
    expect(isVerifierOf(verifier, 'secret')).toBe(false)
  }
  expect(performance.now() - started).toBeLessThan(10_000)
})
