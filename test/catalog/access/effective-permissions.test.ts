import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { problemOfTemplate } from '../../../src/access/route-template.js'
import { type AccessAdministration, createAccessAdministration } from '../../../src/catalog/access/administration.js'
import { readEffectivePermissions } from '../../../src/catalog/access/effective-permissions.js'
import { type AccessCatalog, createAccessCatalog } from './fixture.js'

let catalog: AccessCatalog
let admin: AccessAdministration
let tenant: string
let slug: string
let user: string

beforeAll(async () => {
  catalog = await createAccessCatalog()
  admin = createAccessAdministration({ catalog: catalog.pool, problemOfTemplate })
  await catalog.addRole(null, 'Reader', await catalog.addPermission('notes:read'))
  await catalog.addRole(null, 'Writer', await catalog.addPermission('notes:write'))
  await catalog.addPermission('notes:delete')
  await admin.includeRole({ tenant: null, role: 'Writer', included: 'Reader' })
})
afterAll(() => catalog.drop())
beforeEach(async () => {
  ;({ id: tenant, slug } = await catalog.addTenant())
  user = await catalog.addUser()
  await catalog.pool.query('update users set email_verified = true where id = $1', [user])
  await catalog.join(user, tenant)
})

const read = (named = slug, id = user) => readEffectivePermissions(catalog.pool, { tenant: named, user: id })

test('they are those of the roles, included ones too, with the overrides', async () => {
  expect(await read()).toEqual({ roles: [], permissions: [], barrier: null })
  await admin.assignRole({ tenant, user, role: 'Writer' })
  expect(await read()).toEqual({
    roles: ['Reader', 'Writer'],
    permissions: ['notes:read', 'notes:write'],
    barrier: null,
  })
  await admin.setOverride({ tenant, user, permission: 'notes:delete', effect: 'allow' })
  await admin.setOverride({ tenant, user, permission: 'notes:read', effect: 'deny' })
  expect((await read(tenant)).permissions).toEqual(['notes:delete', 'notes:write'])
})

test('what keeps the member out is said beside them', async () => {
  await admin.assignRole({ tenant, user, role: 'Reader' })
  const held = { roles: ['Reader'], permissions: ['notes:read'] }
  await catalog.pool.query("update tenants set status = 'suspended' where id = $1", [tenant])
  expect(await read()).toEqual({ ...held, barrier: 'tenant-suspended' })
  await catalog.pool.query('update user_tenants set is_active = false where user_id = $1', [user])
  expect(await read()).toEqual({ ...held, barrier: 'member-inactive' })
  await catalog.pool.query('update users set disabled_at = now() where id = $1', [user])
  expect(await read()).toEqual({ ...held, barrier: 'user-disabled' })
})

test('a user who is no member, and a tenant that is none, are not found', async () => {
  const stranger = await catalog.addUser()
  for (const id of [stranger, randomUUID()]) {
    await expect(read(slug, id)).rejects.toMatchObject({ code: 'TENANCY_MEMBER_NOT_FOUND' })
  }
  for (const named of ['nobody', randomUUID(), 'No']) {
    await expect(read(named)).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  }
})
