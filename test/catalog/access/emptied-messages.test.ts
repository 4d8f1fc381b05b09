import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAccessCatalog, type AccessCatalog } from './fixture.js'

let catalog: AccessCatalog
let role: string
let permission: number
beforeAll(async () => {
  catalog = await createAccessCatalog()
  permission = await catalog.addPermission('a:read')
  role = await catalog.addRole(null, 'Auditor', permission)
  await catalog.addRole(null, 'Clerk')
})
afterAll(() => catalog.drop())

const sql = (text: string, ...values: unknown[]) => catalog.pool.query(text, values)
const epochOf = async (user: string) =>
  (await catalog.one<{ epoch: number }>('select access_epoch::float8 as epoch from users where id = $1', [user])).epoch
const override = (user: string, tenant: string) =>
  sql('insert into user_tenant_permissions values ($1, $2, $3, $4)', user, tenant, permission, 'deny')
const dropRoles = (user: string, tenant: string, name = '%') =>
  sql(
    'delete from user_tenant_roles where user_id = $1 and tenant_id = $2 and role_id in (select id from roles where name like $3)',
    user,
    tenant,
    name,
  )

async function inOneTransaction(...texts: readonly string[]): Promise<void> {
  const client = await catalog.pool.connect()
  try {
    for (const text of ['begin', ...texts, 'commit']) await client.query(text)
  } finally {
    client.release()
  }
}

describe('The message that a member has nothing', () => {
  test('follows the message of the change that took the last role or override, and is not in the log of changes', async () => {
    const { id: tenant } = await catalog.addTenant()
    const user = await catalog.addMember(tenant, 'Auditor', 'Clerk')
    await override(user, tenant)
    const said = async (work: () => Promise<unknown>) => {
      const heard = await catalog.noticesOf(work)
      const { rows } = await sql("select 1 from access_changes where change like '%:empty'")
      expect(rows).toEqual([])
      return heard
    }
    const changed = async (by: number) => `u:${user}:${(await epochOf(user)) + by}:${tenant}`
    let expected = [await changed(1)]
    expect(await said(() => dropRoles(user, tenant, 'Clerk'))).toEqual(expected)
    expected = [await changed(1)]
    expect(await said(() => dropRoles(user, tenant))).toEqual(expected)
    expected = [await changed(1), `${await changed(1)}:empty`]
    expect(await said(() => sql('delete from user_tenant_permissions where user_id = $1', user))).toEqual(expected)
    await sql('insert into user_tenant_roles values ($1, $2, $3)', user, tenant, role)
    expected = [await changed(1), `${await changed(1)}:empty`]
    expect(await said(() => dropRoles(user, tenant))).toEqual(expected)
  })

  test('is sent for each member of a role that is deleted, and for no member who has another', async () => {
    const { id: tenant } = await catalog.addTenant()
    await catalog.addRole(tenant, 'Courier')
    const users = await Promise.all([1, 2].map(() => catalog.addMember(tenant, 'Courier')))
    await catalog.addMember(tenant, 'Courier', 'Auditor')
    const heard = await catalog.noticesOf(() => sql("delete from roles where name = 'Courier'"))
    const emptied = heard.filter((message) => message.endsWith(':empty'))
    expect(new Set(emptied.map((message) => message.split(':')[1]))).toEqual(new Set(users))
    expect(emptied.length).toBe(users.length)
  })

  test('is not sent where the membership, the user or the tenant goes, or where the transaction gives something again', async () => {
    const heard = await catalog.noticesOf(async () => {
      const { id: tenant } = await catalog.addTenant()
      const [left, gone, swapped, rolledBack] = await Promise.all(
        [1, 2, 3, 4].map(() => catalog.addMember(tenant, 'Auditor')),
      )
      await sql('delete from user_tenants where user_id = $1', left)
      await sql('delete from users where id = $1', gone)
      const drop = (user: string | undefined) => `delete from user_tenant_roles where user_id = '${user}'`
      const give = (user: string | undefined) =>
        `insert into user_tenant_roles values ('${user}', '${tenant}', '${role}')`
      await inOneTransaction(drop(swapped), give(swapped))
      await inOneTransaction('savepoint s', drop(rolledBack), 'rollback to s')
      await inOneTransaction(
        drop(rolledBack),
        `update user_tenants set is_default = true where user_id = '${rolledBack}'`,
        give(rolledBack),
      )
      await sql('delete from tenants where id = $1', tenant)
    })
    expect(heard.filter((message) => message.endsWith(':empty'))).toEqual([])
    expect(heard.length).toBeGreaterThan(5)
  })

  test('is not sent by a revocation that waited for a grant to the same member; one before the grant has the older epoch', async () => {
    const { id: tenant } = await catalog.addTenant()
    const user = await catalog.addMember(tenant, 'Auditor')
    for (const isGrantFirst of [true, false]) {
      const epoch = await epochOf(user)
      const [first, second] = [await catalog.pool.connect(), await catalog.pool.connect()]
      const revoke = (client: typeof first) =>
        client.query('delete from user_tenant_roles where user_id = $1 and role_id = $2', [user, role])
      const grant = (client: typeof first) =>
        client.query("insert into user_tenant_roles select $1, $2, id from roles where name = 'Clerk'", [user, tenant])
      const heard = await catalog.noticesOf(async () => {
        await first.query('begin')
        await (isGrantFirst ? grant : revoke)(first)
        const waiting = (isGrantFirst ? revoke : grant)(second)
        await catalog.untilSomebodyWaits()
        await first.query('commit')
        await waiting
      })
      first.release()
      second.release()
      const changes = [`u:${user}:${epoch + 1}:${tenant}`, `u:${user}:${epoch + 2}:${tenant}`]
      expect(heard).toEqual(isGrantFirst ? changes : [changes[0], `${changes[0]}:empty`, changes[1]])
      await dropRoles(user, tenant)
      await sql('insert into user_tenant_roles values ($1, $2, $3)', user, tenant, role)
    }
  })
})
