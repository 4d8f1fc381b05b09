import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import createClient from 'openapi-fetch'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiApp, createApiApp } from '../api/api-app.js'
import type { paths } from './schema.js'

const run = promisify(execFile)
const pathOf = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))

let api: ApiApp
let address: string
beforeAll(async () => {
  api = await createApiApp()
  address = await api.app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(() => api.close())

const clientOf = (token: string) =>
  createClient<paths>({ baseUrl: address, headers: { authorization: `Bearer ${token}` } })

test('The types of the client are those of the committed document', async () => {
  const { stdout } = await run(process.execPath, [pathOf('tools/client/generate.js')], { maxBuffer: 1 << 25 })
  expect(stdout === (await readFile(pathOf('test/client/schema.d.ts'), 'utf8')), 'npm run -s client-types').toBe(true)
})

test('The committed document is clean by Redocly', async () => {
  const redocly = pathOf('node_modules/.bin/redocly')
  const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  const args = ['lint', pathOf('docs/openapi.json'), '--format=json']
  const { stdout } = await run(redocly, args, { env, maxBuffer: 1 << 25 })
  expect(JSON.parse(stdout)).toMatchObject({ totals: { errors: 0, warnings: 0 }, problems: [] })
})

test('A customer makes a tenant, invites somebody, gives roles, is suspended, and deletes it, by the typed client', async () => {
  const [ada, bob, operator] = [await api.createUser(), await api.createUser(), await api.createAdministrator()]
  const [adas, bobs, platform] = [clientOf(ada.token), clientOf(bob.token), clientOf(operator.token)]

  const made = await adas.POST('/tenants', {
    params: { header: { 'Idempotency-Key': 'story' } },
    body: { name: 'Acme', slug: 'acme-story' },
  })
  expect(made.response.status).toBe(201)
  const params = { path: { tenant: made.data?.id ?? '' } }

  const { data: self } = await bobs.GET('/me')
  const email = self?.email ?? ''
  const invited = await adas.POST('/tenants/{tenant}/invitations', { params, body: { email, roles: ['Member'] } })
  const token = invited.data?.token ?? ''
  const accepted = await bobs.POST('/invitations/accept', { body: { token } })
  expect(accepted.data?.tenantId).toBe(made.data?.id)
  const again = await bobs.POST('/invitations/accept', { body: { token } })
  expect([again.response.status, again.error?.code]).toEqual([404, 'TENANCY_INVITATION_INVALID'])

  const { data: members } = await bobs.GET('/tenants/{tenant}/members', { params })
  expect(members?.total).toBe(2)
  const member = { path: { ...params.path, user: bob.id } }
  const denied = await bobs.POST('/tenants/{tenant}/roles', { params, body: { name: 'Auditor' } })
  expect(denied.error?.code).toBe('TENANCY_ACCESS_DENIED')
  const role = await adas.POST('/tenants/{tenant}/roles', { params, body: { name: 'Auditor' } })
  expect(role.response.status).toBe(201)
  const given = await adas.PUT('/tenants/{tenant}/members/{user}/roles', {
    params: member,
    body: { roles: ['Member', 'Auditor'] },
  })
  expect(given.data?.roles.toSorted()).toEqual(['Auditor', 'Member'])

  await platform.POST('/platform/tenants/{tenant}/suspend', { params })
  await expect
    .poll(async () => (await bobs.GET('/tenants/{tenant}', { params })).error?.code)
    .toBe('TENANCY_TENANT_SUSPENDED')
  await platform.POST('/platform/tenants/{tenant}/activate', { params })
  await expect.poll(async () => (await bobs.GET('/tenants/{tenant}', { params })).data?.slug).toBe('acme-story')

  // Here belong an API key, a custom domain and an export, when the API has them.
  expect((await adas.DELETE('/tenants/{tenant}', { params })).response.status).toBe(204)
  await expect.poll(async () => (await adas.GET('/tenants/{tenant}', { params })).response.status).toBe(403)
})
