import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import createClient from 'openapi-fetch'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Accounts, createAccounts } from '../../src/accounts/index.js'
import { requirePermission, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { getCurrentActor, tryGetCurrentUser } from '../../src/index.js'
import { type ApiApp, createApiApp } from '../api/api-app.js'
import type { paths } from './schema.js'

const run = promisify(execFile)
const pathOf = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))

let api: ApiApp
let accounts: Accounts
/** An application: accounts, the API, and a route of its own. */
let app: FastifyInstance
let address: string
beforeAll(async () => {
  api = await createApiApp()
  accounts = await createAccounts({ tenancy: api.tenancy })
  app = Fastify()
  await app.register(tenancyPlugin, { tenancy: api.tenancy, api: api.api, accounts })
  app.get('/invoices', { preHandler: requirePermission('members:read') }, async () => ({
    ...{ actor: getCurrentActor(), user: tryGetCurrentUser() ?? null },
  }))
  address = await app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(async () => {
  await app.close()
  await api.close()
})

const post = async (path: string, body: object) => {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${address}/auth${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  const text = await answer.text()
  return { status: answer.status, json: (text === '' ? {} : JSON.parse(text)) as Readonly<Record<string, string>> }
}

/** The token of the newest link that was mailed to an address, which development writes to the log. */
async function linkTo(email: string): Promise<string> {
  const links = () =>
    api.installation.log.flatMap(({ fields }) =>
      'to' in fields && fields.to === email && 'links' in fields ? (fields.links as readonly string[]) : [],
    )
  await expect.poll(links).not.toEqual([])
  return new URL(links().at(-1) ?? '').searchParams.get('token') ?? ''
}

/** Signs up as a browser does: asks for an account, follows the link in the mail, logs in. */
async function signUp(name: string): Promise<{ readonly token: string; readonly email: string }> {
  const email = `${name}-${randomUUID()}@example.com`
  const password = `correct horse ${randomUUID()}`
  expect((await post('/register', { email, password, name })).status).toBe(202)
  const token = await linkTo(email)
  expect((await post('/login', { email, password })).status).toBe(401)
  expect((await post('/verify-email', { token, password })).status).toBeLessThan(300)
  const { status, json } = await post('/login', { email, password })
  expect(status).toBe(200)
  return { token: json['access_token'] ?? '', email }
}

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

test('A customer signs up, makes a tenant, invites somebody, gives roles, makes a key, is suspended, and deletes it, by the typed client', async () => {
  const [ada, bob, operator] = [await signUp('ada'), await signUp('bob'), await api.createAdministrator()]
  const [adas, bobs, platform] = [clientOf(ada.token), clientOf(bob.token), clientOf(operator.token)]

  const made = await adas.POST('/tenants', {
    params: { header: { 'Idempotency-Key': 'story' } },
    body: { name: 'Acme', slug: 'acme-story' },
  })
  expect(made.response.status).toBe(201)
  const params = { path: { tenant: made.data?.id ?? '' } }

  const { data: self } = await bobs.GET('/me')
  expect(self?.email).toBe(bob.email)
  const email = self?.email ?? ''
  const invited = await adas.POST('/tenants/{tenant}/invitations', { params, body: { email, roles: ['Member'] } })
  const token = invited.data?.token ?? ''
  const accepted = await bobs.POST('/invitations/accept', { body: { token } })
  expect(accepted.data?.tenantId).toBe(made.data?.id)
  const again = await bobs.POST('/invitations/accept', { body: { token } })
  expect([again.response.status, again.error?.code]).toEqual([404, 'TENANCY_INVITATION_INVALID'])

  const { data: members } = await bobs.GET('/tenants/{tenant}/members', { params })
  expect(members?.total).toBe(2)
  const member = { path: { ...params.path, user: self?.id ?? '' } }
  const denied = await bobs.POST('/tenants/{tenant}/roles', { params, body: { name: 'Auditor' } })
  expect(denied.error?.code).toBe('TENANCY_ACCESS_DENIED')
  const role = await adas.POST('/tenants/{tenant}/roles', { params, body: { name: 'Auditor' } })
  expect(role.response.status).toBe(201)
  const given = await adas.PUT('/tenants/{tenant}/members/{user}/roles', {
    params: member,
    body: { roles: ['Member', 'Auditor'] },
  })
  expect(given.data?.roles.toSorted()).toEqual(['Auditor', 'Member'])

  const program = await adas.POST('/tenants/{tenant}/service-accounts', { params, body: { name: 'Invoices' } })
  const serviceAccount = program.data?.id ?? ''
  const keyOf = (permissions: string[]) =>
    adas.POST('/tenants/{tenant}/keys', { params, body: { serviceAccount, name: 'Nightly', permissions } })
  const [reads, nothing] = [await keyOf(['members:read']), await keyOf([])]
  const invoices = async (key: string | null | undefined) => {
    const answer = await fetch(`${address}/invoices`, { headers: { authorization: `Bearer ${key ?? ''}` } })
    return { status: answer.status, json: (await answer.json()) as object }
  }
  expect(await invoices(reads.data?.key)).toMatchObject({
    ...{ status: 200, json: { user: null, actor: { kind: 'serviceAccount', serviceAccount: { id: serviceAccount } } } },
  })
  expect((await invoices(nothing.data?.key)).status).toBe(403)
  expect((await invoices(bob.token)).status).toBe(200)
  const path = { ...params.path, apiKey: reads.data?.apiKey.id ?? '' }
  await adas.DELETE('/tenants/{tenant}/keys/{apiKey}', { params: { path } })
  await expect.poll(async () => (await invoices(reads.data?.key)).status).toBe(401)

  await platform.POST('/platform/tenants/{tenant}/suspend', { params })
  await expect
    .poll(async () => (await bobs.GET('/tenants/{tenant}', { params })).error?.code)
    .toBe('TENANCY_TENANT_SUSPENDED')
  await platform.POST('/platform/tenants/{tenant}/activate', { params })
  await expect.poll(async () => (await bobs.GET('/tenants/{tenant}', { params })).data?.slug).toBe('acme-story')

  // Here belong a custom domain and an export, when the API has them.
  expect((await adas.DELETE('/tenants/{tenant}', { params })).response.status).toBe(204)
  await expect.poll(async () => (await adas.GET('/tenants/{tenant}', { params })).response.status).toBe(403)
})
