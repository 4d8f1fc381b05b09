import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tenancyPlugin } from '../../../src/adapters/fastify/index.js'
import { getCurrentMember, type Tenancy, type Tenant, tryGetCurrentMember, type User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { withAdmin } from '../../support/server.js'
import { bearer } from '../notes-app.js'

let installation: Installation
let tenancy: Tenancy
let app: FastifyInstance
let dana: User
let max: User
let acme: Tenant

beforeAll(async () => {
  installation = createInstallation()
  tenancy = await installation.open()
  dana = await tenancy.createUser({ email: 'dana@example.com', name: 'Dana', emailVerified: true })
  max = await tenancy.createUser({ email: 'max@example.com', name: 'Max', emailVerified: true })
  acme = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: dana.id })
  await tenancy.addMember({ tenant: acme.id, user: max.id })
  app = Fastify()
  await app.register(tenancyPlugin, { tenancy })
  app.get('/may', async () => {
    const member = getCurrentMember()
    return {
      user: member.membership.userId,
      byName: tenancy.can(member, 'reports:read'),
      byPath: tenancy.can(member, 'GET', '/reports'),
      permissions: tenancy.permissionsOf(member),
    }
  })
  app.get('/nobody', { config: { tenancy: 'none' } }, async () => ({
    byName: tenancy.can(tryGetCurrentMember(), 'reports:read'),
    byPath: tenancy.can(tryGetCurrentMember(), 'GET', '/reports'),
    permissions: tenancy.permissionsOf(tryGetCurrentMember()),
  }))
})
afterAll(async () => {
  await app?.close()
  await installation.drop()
})

async function ask(user: User): Promise<Record<string, unknown>> {
  const { token } = await tenancy.issueAccessToken({ user: user.id })
  return (await app.inject({ url: '/may', headers: bearer(token) })).json()
}

test('a handler can read what its member may do: by permission, by path, or everything', async () => {
  const owner = await ask(dana)
  expect(owner).toMatchObject({ user: dana.id, byName: true, byPath: true })
  expect(owner['permissions']).toContain('reports:read')
  const member = await ask(max)
  expect(member).toMatchObject({ user: max.id, byName: false, byPath: false })
  expect(member['permissions']).not.toContain('reports:read')
})

test('nothing is permitted without a member', async () => {
  expect((await app.inject({ url: '/nobody' })).json()).toEqual({ byName: false, byPath: false, permissions: [] })
})

test('granted and denied permissions are in the answer to the next request', async () => {
  const override = (effect: string) =>
    withAdmin(async (admin) => {
      await admin.query(
        `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect)
         select $1, $2, id, $3 from permissions where name = 'reports:read'
         on conflict (user_id, tenant_id, permission_id) do update set effect = excluded.effect`,
        [max.id, acme.id, effect],
      )
    }, installation.catalogName)
  await override('allow')
  await expect.poll(() => ask(max)).toMatchObject({ byName: true, byPath: true })
  await override('deny')
  await expect.poll(() => ask(max)).toMatchObject({ byName: false, byPath: false })
})
