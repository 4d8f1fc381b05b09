import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { arbitraryRequest } from './arbitrary-request.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

/** `npm run soak -- api` sends 100,000. */
const requests = Number(process.env['T2F_API_REQUESTS'] ?? 2000)

let api: ApiApp
beforeAll(async () => {
  api = await createApiApp()
})
afterAll(() => api.close())

test(
  `${requests} requests drawn from the document get no answer 5xx and none that the document does not have`,
  { timeout: Math.max(120_000, requests * 100) },
  async () => {
    const [owner, second, stranger] = [await api.createUser(), await api.createUser(), await api.createUser()]
    const [tenant, foreign] = [await api.createTenant(owner), await api.createTenant(stranger)]
    await api.tenancy.addMember({ tenant: tenant.id, user: second.id, roles: ['Owner'] })
    const members = [await api.join(tenant, ['Admin']), await api.join(tenant, ['Member']), await api.join(tenant, [])]
    const administrators: Caller[] = [await api.createAdministrator(), await api.createAdministrator()]
    const account = { tenant: tenant.id, name: 'Program', actor: owner.id }
    const { id: serviceAccount } = await api.tenancy.createServiceAccount(account)
    const permissions = ['tenant:read', 'tenant:update', 'members:read', 'roles:read', 'audit:read']
    const { apiKey, key } = await api.tenancy.createApiKey({ ...account, serviceAccount, permissions })
    const program: Caller = { id: apiKey.id, token: key }
    const callers: (Caller | undefined)[] = [owner, owner, second, stranger, ...members, program, undefined]
    const people = [owner, second, stranger, ...members].map(({ id }) => id)
    const { invitation } = await api.tenancy.createInvitation({ tenant: tenant.id, email: 'g@example.com', roles: [] })
    const { id: archive } = await api.tenancy.startTenantExport({ tenant: tenant.id })
    const request = arbitraryRequest(api.api.document, {
      tenant: [tenant.id, tenant.slug, foreign.id, foreign.slug],
      'X-Tenant-Id': [tenant.id, foreign.slug],
      // Creating one takes a database: most of them are refused.
      slug: ['admin', tenant.slug, foreign.slug, 'No', 'x'],
      user: people,
      to: people,
      invitation: [invitation.id],
      serviceAccount: [serviceAccount],
      apiKey: [apiKey.id],
      export: [archive],
      Range: ['bytes=0-9', 'bytes=-5', 'bytes=99999999999-', 'lines=1'],
      roles: ['Owner', 'Admin', 'Member', 'nobody'],
      role: ['Owner', 'Member', 'nobody'],
      keep: ['Admin', 'Member'],
      email: ['g@example.com', 'h@example.com', 'not an address'],
      permission: ['tenant:read', 'nothing:here'],
    })
    const statuses = new Map<number, number>()
    const known = [tenant.id, tenant.slug, foreign.id, foreign.slug, ...people, ...administrators.map(({ id }) => id)]
    /** A tenant that is gone, or a user who is logged out, would answer nothing but refusals from then on. */
    const endsSomething = (target: string) =>
      known.some((one) => target.includes(one)) &&
      /^DELETE \/(platform\/)?(tenants|administrators)\/[^/]*$|^POST \/platform\/(users|tenants)\/|\/slug$/.test(target)
    const someone = fc.constantFrom(...callers)
    const administrator = fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...administrators) }, someone)
    const person = fc.tuple(someone, administrator)
    const property = fc.asyncProperty(request, person, async ({ target, body, headers }, [caller, other]) => {
      fc.pre(!endsSomething(target))
      const as = target.includes(' /platform') ? other : caller
      const { status } = await api.callDirectly(target, { as, body, headers })
      expect(status, target).toBeLessThan(500)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    })
    const { catalog } = api.tenancy.accountsHost()
    const written = async () => (await catalog.query<{ id: string }>('select max(id) as id from audit_log')).rows[0]?.id
    const before = await written()
    await fc.assert(property, { numRuns: requests })
    // Whatever a request has changed says which request it was, but what is done in the background.
    const { rows } = await catalog.query(
      `select action, count(*)::integer as entries from audit_log
       where id > $1 and after #>> '{tenants2fast.origin,requestId}' is null and action not in ('audit.anchor', 'tenant.backup', 'export.fail')
       group by action`,
      [before],
    )
    expect(rows).toEqual([])
    expect(Number(await written()) - Number(before)).toBeGreaterThan(requests / 1000)
    // They reach the operations: not all are refused at the door.
    expect(statuses.get(200) ?? 0).toBeGreaterThan(requests / 100)
    console.error(`answers by status: ${JSON.stringify(Object.fromEntries(statuses))}`)
  },
)
