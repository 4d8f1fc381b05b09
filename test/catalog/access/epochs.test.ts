import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAccessCatalog } from './fixture.js'
import type { AccessCatalog } from './fixture.js'

let catalog: AccessCatalog
beforeAll(async () => {
  catalog = await createAccessCatalog()
})
afterAll(() => catalog.drop())

const sql = (text: string, ...values: unknown[]) => catalog.raisedBy(() => catalog.pool.query(text, values))

describe('epochs after raw SQL', () => {
  test('raw SQL on permissions and route rules raises and announces the rules epoch', async () => {
    expect(await sql("insert into permissions (name) values ('a:read'), ('a:write')")).toEqual(['r'])
    expect(await sql("update permissions set is_active = false where name = 'a:read'")).toEqual(['r'])
    expect(
      await sql("insert into route_rules (method, path, permission_id) select 'GET', '/a', min(id) from permissions"),
    ).toEqual(['r'])
    expect(await sql('update route_rules set is_active = false')).toEqual(['r'])
    expect(await sql('delete from route_rules')).toEqual(['r'])
    expect(await sql("delete from permissions where name = 'a:read'")).toEqual(['r'])
  })

  test('raw SQL that changes nothing relevant raises no epoch', async () => {
    expect(await sql("update permissions set description = 'x', is_system = true")).toEqual([])
    expect(await sql('update permissions set is_active = is_active')).toEqual([])
    expect(await sql("delete from permissions where name = 'no:such'")).toEqual([])
    expect(await sql("update roles set description = 'x'")).toEqual([])
    expect(await sql("insert into permissions (name) select 'x:y' where false")).toEqual([])
    expect(await sql("insert into permission_categories (name) values ('Things')")).toEqual([])
  })

  test('raw SQL on a built-in role and its grants raises the rules epoch; on a tenant’s role it raises that tenant’s epoch', async () => {
    const [ours, theirs] = [await catalog.addTenant(), await catalog.addTenant()]
    const permissionId = await catalog.addPermission('b:read')
    const grant = 'insert into role_permissions (role_id, permission_id) select id, $1 from roles where name = $2'
    const revoke = 'delete from role_permissions where role_id = (select id from roles where name = $1)'

    expect(await sql("insert into roles (name) values ('Auditor')")).toEqual(['r'])
    expect(await sql(grant, permissionId, 'Auditor')).toEqual(['r'])
    expect(await sql(revoke, 'Auditor')).toEqual(['r'])
    expect(await sql("update roles set is_active = false where name = 'Auditor'")).toEqual(['r'])
    expect(await sql("delete from roles where name = 'Auditor'")).toEqual(['r'])

    expect(await sql("insert into roles (tenant_id, name) values ($1, 'Clerk')", ours.id)).toEqual([`t:${ours.id}`])
    expect(await sql(grant, permissionId, 'Clerk')).toEqual([`t:${ours.id}`])
    expect(await sql(revoke, 'Clerk')).toEqual([`t:${ours.id}`])
    expect(await sql("update roles set is_active = false where name = 'Clerk'")).toEqual([`t:${ours.id}`])
    await sql("insert into roles (tenant_id, name) values ($1, 'Cook')", theirs.id)
    expect(await sql("update roles set is_active = not is_active where name in ('Clerk', 'Cook')")).toEqual(
      [`t:${ours.id}`, `t:${theirs.id}`].toSorted(),
    )
    expect(await sql("delete from roles where name = 'Clerk'")).toEqual([`t:${ours.id}`])
  })

  test('raw SQL on a member’s roles and overrides raises that user’s epoch', async () => {
    const tenant = await catalog.addTenant()
    const [userId, other] = [await catalog.addMember(tenant.id), await catalog.addMember(tenant.id)]
    const permissionId = await catalog.addPermission('c:read')
    const own = [`u:${userId}`]
    const both = [`u:${userId}`, `u:${other}`].toSorted()

    expect(
      await sql(`insert into user_tenant_roles select user_id, user_tenants.tenant_id, roles.id from user_tenants, roles
        where user_tenants.tenant_id = '${tenant.id}' and roles.name = 'Owner'`),
    ).toEqual(both)
    expect(await sql('delete from user_tenant_roles where user_id = $1', userId)).toEqual(own)
    expect(
      await sql('insert into user_tenant_permissions values ($1, $2, $3, $4)', userId, tenant.id, permissionId, 'deny'),
    ).toEqual(own)
    expect(await sql("update user_tenant_permissions set expires_at = now() + interval '1 day'")).toEqual(own)
    expect(await sql('delete from user_tenant_permissions')).toEqual(own)
    expect(await sql('update user_tenants set is_active = false where user_id = $1', userId)).toEqual(own)
  })

  test('deleting a role raises the epoch of the users who held it', async () => {
    const tenant = await catalog.addTenant()
    await catalog.addRole(tenant.id, 'Courier')
    const userId = await catalog.addMember(tenant.id, 'Courier')
    expect(await sql("delete from roles where name = 'Courier'")).toEqual([`t:${tenant.id}`, `u:${userId}`].toSorted())
  })

  test('truncating a table raises the rules epoch, which concerns all users', async () => {
    for (const table of ['user_tenant_roles', 'user_tenant_permissions', 'role_permissions', 'route_rules']) {
      expect(await sql(`truncate ${table}`)).toEqual(['r'])
    }
  })

  test('a change that is rolled back raises and announces no epoch', async () => {
    const raised = await catalog.raisedBy(async () => {
      const client = await catalog.pool.connect()
      await client.query('begin')
      await client.query("insert into permissions (name) values ('never:read')")
      await client.query('rollback')
      client.release()
    })
    expect(raised).toEqual([])
  })

  test('a raised epoch and its change become visible at the same moment', async () => {
    const client = await catalog.pool.connect()
    try {
      const before = await catalog.rules.readRuleSet()
      await client.query('begin')
      await client.query("insert into permissions (name) values ('later:read')")
      expect(await catalog.rules.readRuleSet()).toEqual(before)
      await client.query('commit')
      const after = await catalog.rules.readRuleSet()
      expect(after.epoch).toBeGreaterThan(before.epoch)
      expect(after.permissions.map(({ name }) => name)).toContain('later:read')
    } finally {
      client.release()
    }
  })
})

describe('roles and names that the catalog refuses', () => {
  test('the catalog refuses a member’s role of another tenant, on insert and on update', async () => {
    const [ours, theirs] = [await catalog.addTenant(), await catalog.addTenant()]
    const foreign = await catalog.addRole(theirs.id, 'Spy')
    const userId = await catalog.addMember(ours.id, 'Owner')
    const assign = 'insert into user_tenant_roles (user_id, tenant_id, role_id) values ($1, $2, $3)'
    await expect(catalog.pool.query(assign, [userId, ours.id, foreign])).rejects.toThrow(/another tenant/)
    await expect(
      catalog.pool.query('update user_tenant_roles set role_id = $2 where user_id = $1', [userId, foreign]),
    ).rejects.toThrow(/another tenant/)
    await expect(
      catalog.pool.query('update roles set tenant_id = $2 where id = $1', [foreign, ours.id]),
    ).rejects.toThrow(/stays with its tenant/)
  })

  test('the catalog refuses a tenant’s role with a built-in name in any case, and a built-in role with a tenant’s name', async () => {
    const tenant = await catalog.addTenant()
    await expect(catalog.addRole(tenant.id, 'oWNER')).rejects.toThrow(/built-in role has this name/)
    const id = await catalog.addRole(tenant.id, 'Baker')
    await expect(catalog.addRole(null, 'BAKER')).rejects.toThrow(/a tenant has a role of this name/)
    await expect(catalog.pool.query("update roles set name = 'Owner' where id = $1", [id])).rejects.toThrow(/built-in/)
  })

  test('when a built-in role and a tenant’s role of one name are created at the same moment, the second is refused', async () => {
    const tenant = await catalog.addTenant()
    const make = 'insert into roles (tenant_id, name) values ($1, $2)'
    for (const [index, owners] of [
      [null, tenant.id],
      [tenant.id, null],
    ].entries()) {
      const [first, second] = owners
      const client = await catalog.pool.connect()
      try {
        await client.query('begin')
        await client.query(make, [first, `Race ${index}`])
        const outcome = catalog.pool.query(make, [second, `race ${index}`]).then(
          () => 'made',
          () => 'refused',
        )
        await Promise.race([outcome, catalog.untilSomebodyWaits()])
        await client.query('commit')
        expect(await outcome).toBe('refused')
      } finally {
        client.release()
      }
    }
  })

  test.each(['reports', 'Reports:read', 'reports:read:all', ':read', 'reports:', 'reports:re ad'])(
    'the catalog refuses the permission name %j',
    async (name) => {
      await expect(catalog.addPermission(name)).rejects.toThrow(/permissions_name_check/)
    },
  )
})

describe('epochs as versions of a row', () => {
  test('every column of a tenant raises its epoch when it changes, even if no reader of it is known', async () => {
    const tenant = await catalog.addTenant()
    const userId = await catalog.addUser()
    const { rows } = await catalog.pool.query<{ name: string }>(
      "select attname as name from pg_attribute where attrelid = 'tenants'::regclass and attnum > 0 and not attisdropped",
    )
    const values: Record<string, string> = {
      slug: "'other-slug'",
      name: "'Other'",
      status: "'suspended'",
      contact_email: "'a@example.com'",
      max_users: '7',
      labels: "array['a']",
      created_by: `'${userId}'`,
      created_at: "now() - interval '1 day'",
      updated_at: "now() - interval '1 day'",
      suspended_at: 'now()',
      deleted_at: 'now()',
    }
    const columns = rows.map(({ name }) => name).filter((name) => !['id', 'database_id', 'access_epoch'].includes(name))
    for (const column of columns) {
      const raised = await sql(`update tenants set ${column} = ${values[column] ?? 'null'} where id = $1`, tenant.id)
      // A column that was added later and is null already needs a value here to be tested.
      if (values[column] !== undefined) expect([column, raised]).toEqual([column, [`t:${tenant.id}`]])
    }
    expect(Object.keys(values).filter((name) => !columns.includes(name))).toEqual([])
    expect(await sql('delete from users where id = $1', userId)).toContain(`t:${tenant.id}`)
  })

  test('an update that changes nothing raises no epoch and leaves the row as it is', async () => {
    const tenant = await catalog.addTenant()
    const row = () => catalog.one('select * from tenants where id = $1', [tenant.id])
    const before = await row()
    expect(await sql('update tenants set name = name, status = status where id = $1', tenant.id)).toEqual([])
    expect(await row()).toEqual(before)
  })

  test('no statement makes an epoch fall', async () => {
    const tenant = await catalog.addTenant()
    const userId = await catalog.addUser()
    const epochs = () =>
      catalog.one<Record<string, string>>(
        `select (select access_epoch from users where id = $1) as users, (select access_epoch from tenants where id = $2) as tenants,
           (select rules_epoch from installation) as installation`,
        [userId, tenant.id],
      )
    const before = await epochs()
    for (const text of [
      "update users set access_epoch = 1, name = 'Other' where id = $1",
      'update users set access_epoch = access_epoch - 1 where id = $1',
    ]) {
      await catalog.pool.query(text, [userId])
    }
    for (const text of [
      "update tenants set access_epoch = 1, name = 'Other' where id = $1",
      'update tenants set access_epoch = 1, max_users = 8, created_by = null where id = $1',
      'update tenants set access_epoch = access_epoch - 1, suspended_at = now() where id = $1',
    ]) {
      await catalog.pool.query(text, [tenant.id])
    }
    await catalog.pool.query('update installation set rules_epoch = 1')
    const after = await epochs()
    expect(BigInt(after['users']!) > BigInt(before['users']!)).toBe(true)
    expect(BigInt(after['tenants']!) >= BigInt(before['tenants']!) + 3n).toBe(true)
    expect(after['installation']).toBe(before['installation'])
  })

  test('a row that is inserted again under its old id starts above every epoch it had before', async () => {
    const tenant = await catalog.addTenant()
    const userId = await catalog.addUser()
    const epochOf = async (table: string, id: string) =>
      Number(
        (await catalog.one<{ epoch: string }>(`select access_epoch as epoch from ${table} where id = $1`, [id])).epoch,
      )
    for (let round = 0; round < 20; round += 1) {
      await catalog.pool.query('update tenants set name = $2 where id = $1', [tenant.id, `Name ${round}`])
      await catalog.pool.query('update users set name = $2 where id = $1', [userId, `Name ${round}`])
    }
    const before = [await epochOf('users', userId), await epochOf('tenants', tenant.id)]
    await catalog.pool.query('delete from tenants where id = $1', [tenant.id])
    await catalog.pool.query('delete from users where id = $1', [userId])
    await catalog.pool.query('insert into tenants (id, slug, name) values ($1, $2, $2)', [tenant.id, tenant.slug])
    await catalog.pool.query("insert into users (id, email) values ($1, 'again@example.com')", [userId])
    expect(await epochOf('users', userId)).toBeGreaterThan(before[0]!)
    expect(await epochOf('tenants', tenant.id)).toBeGreaterThan(before[1]!)
  })
})
