import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import createClient from 'openapi-fetch'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Accounts, createAccounts } from '../../src/accounts/index.js'
import { requirePermission, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { getCurrentActor, getCurrentTenant, tryGetCurrentUser } from '../../src/index.js'
import { type ApiApp, createApiApp } from '../api/api-app.js'
import type { paths } from './schema.js'

const run = promisify(execFile)
const pathOf = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))

let api: ApiApp
let accounts: Accounts
/** An application: accounts, the API, and a route of its own. */
let app: FastifyInstance
let address: string
/** What the DNS answers: values by name. */
const records = new Map<string, string[]>()
beforeAll(async () => {
  api = await createApiApp(
    undefined,
    {},
    { domains: { byHost: true, resolveTxt: async (name) => records.get(name) ?? [] } },
  )
  accounts = await createAccounts({ tenancy: api.tenancy })
  app = Fastify()
  await app.register(tenancyPlugin, { tenancy: api.tenancy, api: api.api, accounts })
  app.get('/invoices', { preHandler: requirePermission('members:read') }, async () => ({
    ...{ actor: getCurrentActor(), user: tryGetCurrentUser() ?? null, tenant: getCurrentTenant().slug },
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

/** The tenant that the application's own route has at a host, or the code of its refusal. (`fetch` cannot send another `Host`.) */
async function tenantAtHost(host: string, token: string): Promise<string | undefined> {
  const answer = await app.inject({ url: '/invoices', headers: { host, authorization: `Bearer ${token}` } })
  const { tenant, code } = answer.json<{ readonly tenant?: string; readonly code?: string }>()
  return tenant ?? code
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

test('A customer signs up, makes a tenant, invites somebody, gives roles, makes a key, proves a domain, exports the tenant, is suspended, and deletes it, by the typed client', async () => {
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

  const host = `app-${randomUUID()}.example.org`
  const domain = await adas.POST('/tenants/{tenant}/domains', { params, body: { host } })
  expect([domain.response.status, domain.data?.state]).toEqual([201, 'pending'])
  const asked = { params: { path: { ...params.path, domain: domain.data?.id ?? '' } } }
  const early = await adas.POST('/tenants/{tenant}/domains/{domain}/verify', asked)
  expect([early.response.status, early.error?.code]).toEqual([409, 'TENANCY_DOMAIN_NOT_PROVEN'])
  // A second tenant is the one that requests mean which name none.
  await adas.POST('/tenants', { body: { name: 'Other', slug: 'other-story' } })
  const chosen = await adas.PUT('/me/default-tenant', { body: { tenant: 'other-story' } })
  expect(chosen.response.status).toBe(204)
  const atHost = () => tenantAtHost(host, ada.token)
  await expect.poll(atHost).toBe('other-story')
  records.set(domain.data?.recordName ?? '', [domain.data?.recordValue ?? ''])
  const proven = await adas.POST('/tenants/{tenant}/domains/{domain}/verify', asked)
  expect([proven.response.status, proven.data?.state]).toEqual([200, 'proven'])
  await expect.poll(atHost).toBe('acme-story')
  const { data: hosts } = await adas.GET('/tenants/{tenant}/domains', { params })
  expect(hosts?.items.map((item) => [item.host, item.state])).toEqual([[host, 'proven']])

  const forbidden = await bobs.POST('/tenants/{tenant}/exports', { params, body: {} })
  expect(forbidden.error?.code).toBe('TENANCY_ACCESS_DENIED')
  const started = await adas.POST('/tenants/{tenant}/exports', {
    params: { ...params, header: { 'Idempotency-Key': 'story' } },
    body: { expiresInSeconds: 3600 },
  })
  expect(started.response.status).toBe(201)
  const ofExport = { path: { ...params.path, export: started.data?.id ?? '' } }
  const readExport = async () => (await adas.GET('/tenants/{tenant}/exports/{export}', { params: ofExport })).data
  await expect.poll(async () => (await readExport())?.state, { timeout: 60_000 }).toBe('ready')
  const facts = await readExport()
  const load = (headers: Record<string, string> = {}) =>
    adas.GET('/tenants/{tenant}/exports/{export}/archive', { params: ofExport, headers, parseAs: 'arrayBuffer' })
  const whole = await load()
  const archive = Buffer.from(whole.data as ArrayBuffer)
  const tag = whole.response.headers.get('etag') ?? ''
  expect([archive.length, createHash('sha256').update(archive).digest('hex')]).toEqual([facts?.bytes, facts?.sha256])
  // A download that broke off after 1000 bytes goes on there.
  const rest = await load({ range: 'bytes=1000-', 'if-range': tag })
  expect([rest.response.status, rest.response.headers.get('content-range')]).toEqual([
    ...[206, `bytes 1000-${archive.length - 1}/${archive.length}`],
  ])
  const resumed = Buffer.concat([archive.subarray(0, 1000), Buffer.from(rest.data as ArrayBuffer)])
  expect(resumed.equals(archive)).toBe(true)

  await platform.POST('/platform/tenants/{tenant}/suspend', { params })
  await expect
    .poll(async () => (await bobs.GET('/tenants/{tenant}', { params })).error?.code)
    .toBe('TENANCY_TENANT_SUSPENDED')
  await platform.POST('/platform/tenants/{tenant}/activate', { params })
  await expect.poll(async () => (await bobs.GET('/tenants/{tenant}', { params })).data?.slug).toBe('acme-story')

  expect((await adas.DELETE('/tenants/{tenant}', { params })).response.status).toBe(204)
  await expect.poll(async () => (await adas.GET('/tenants/{tenant}', { params })).response.status).toBe(403)
  await expect.poll(atHost).toBe('TENANCY_TENANT_DELETED')
  const { data: kept } = await platform.GET('/platform/tenants/{tenant}', { params })
  expect(kept?.status).toBe('deleted')
})
