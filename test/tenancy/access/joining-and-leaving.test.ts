import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

let installation: Installation
let tenancy: Tenancy
let app: FastifyInstance

beforeAll(async () => {
  installation = createInstallation()
  tenancy = await installation.open()
  app = await createNotesApp(tenancy)
})
afterAll(async () => {
  await app?.close()
  await installation.drop()
})

async function newUser(
  name: string,
): Promise<{ readonly id: string; readonly asked: (url: string) => Promise<string> }> {
  const { id } = await tenancy.createUser({ email: `${name}@example.com`, emailVerified: true })
  const { token } = await tenancy.issueAccessToken({ user: id })
  return { id, asked: async (url) => outcome(await app.inject({ url, headers: bearer(token) })) }
}

test('joining by invitation, new roles, a handed over ownership and leaving apply to the next request of this process', async () => {
  const [ada, bob] = [await newUser('ada'), await newUser('bob')]
  await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: ada.id })
  const { token } = await tenancy.createInvitation({
    tenant: 'acme',
    email: 'bob@example.com',
    roles: ['Member'],
    actor: ada.id,
  })
  expect(await bob.asked('/reports')).toBe('403 TENANCY_TENANT_NONE')
  await tenancy.acceptInvitation({ token, user: bob.id.toUpperCase() })
  expect(await bob.asked('/me/tenant')).toBe('200')
  expect(await bob.asked('/reports')).toBe('403 TENANCY_ACCESS_DENIED')

  await tenancy.access.setMemberRoles({ tenant: 'acme', user: bob.id, roles: ['Admin'], actor: ada.id })
  expect(await bob.asked('/reports')).toBe('200')
  await tenancy.access.setMemberRoles({ tenant: 'acme', user: bob.id, roles: [], actor: ada.id })
  expect(await bob.asked('/reports')).toBe('403 TENANCY_ACCESS_DENIED')

  expect([await ada.asked('/owners'), await bob.asked('/owners')]).toEqual(['200', '403 TENANCY_ACCESS_DENIED'])
  await tenancy.offerOwnership({ tenant: 'acme', from: ada.id, to: bob.id, keep: 'Member' })
  await tenancy.acceptOwnership({ tenant: 'acme', user: bob.id })
  expect([await ada.asked('/owners'), await bob.asked('/owners')]).toEqual(['403 TENANCY_ACCESS_DENIED', '200'])

  await tenancy.leaveTenant({ tenant: 'acme', user: ada.id })
  expect(await ada.asked('/me/tenant')).toBe('403 TENANCY_TENANT_NONE')
  expect(await tenancy.audit.verify()).toMatchObject({ problems: [] })
})
