import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { checkDueDomains } from '../../../src/catalog/domains/keep-proven.js'
import { normalizeDomainName, normalizeEmailDomain } from '../../../src/catalog/domains/domain-name.js'
import { urlOf } from '../../support/server.js'
import type { Tenancy, Tenant } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'

let installation: Installation
let tenancy: Tenancy
let one: Tenant
let two: Tenant
let owner: string
const records = new Map<string, string[]>()
let isDown = false
const resolveTxt = async (name: string) => {
  if (isDown) throw Object.assign(new Error('down'), { code: 'ESERVFAIL' })
  const found = records.get(name)
  if (found === undefined) throw Object.assign(new Error('none'), { code: 'ENOTFOUND' })
  return found
}
const publish = (record: { readonly recordName: string; readonly recordValue: string }) =>
  records.set(record.recordName, [...(records.get(record.recordName) ?? []), record.recordValue])
let count = 0
const newHost = () => `h${(count += 1)}.customer.example.org`
const newUser = async (email: string, emailVerified = true) =>
  (await tenancy.createUser({ email, name: 'U', emailVerified })).id

beforeAll(async () => {
  installation = createInstallation({ TENANT_READY_DATABASES: '0', TENANT_SEED_PROFILE: 'prod' })
  tenancy = await installation.open({ domains: { resolveTxt, byHost: true } })
  owner = await newUser('owner@first.example.org')
  one = await tenancy.createTenant({ name: 'One', slug: 'one', owner })
  two = await tenancy.createTenant({ name: 'Two', slug: 'two', owner })
})
afterAll(() => installation.drop())
beforeEach(() => {
  isDown = false
})

test('Names have one spelling, and what nobody owns is refused', () => {
  expect(normalizeDomainName('Bücher.Example.ORG.')).toBe('xn--bcher-kva.example.org')
  const bad = [
    '10.0.0.1',
    '[::1]',
    'a.example.org:80',
    '*.example.org',
    'localhost',
    'co.uk',
    'github.io',
    '',
    '.',
    'a..b.org',
    '%65xample.org',
    'a_b.example.org',
    'x'.repeat(64) + '.org',
    'acme.base.org',
    'base.org',
    'BASE.org.',
  ]
  for (const text of bad) expect(() => normalizeDomainName(text, 'base.org'), text).toThrow()
  for (const text of ['gmail.com', 'GMAIL.com.', 'mail.gmail.com']) expect(() => normalizeEmailDomain(text)).toThrow()
})

test('A host counts for the tenant whose own value is published, and for one at a time', async () => {
  const host = newHost()
  const first = await tenancy.addDomain({ tenant: one.id, host })
  const second = await tenancy.addDomain({ tenant: two.id, host })
  await expect(tenancy.verifyDomain({ tenant: one.id, domain: first.id })).rejects.toMatchObject({
    code: 'TENANCY_DOMAIN_NOT_PROVEN',
  })
  publish(first)
  await expect(tenancy.verifyDomain({ tenant: two.id, domain: second.id })).rejects.toMatchObject({
    code: 'TENANCY_DOMAIN_NOT_PROVEN',
  })
  expect(await tenancy.isProvenHost({ host })).toBe(false)
  expect((await tenancy.verifyDomain({ tenant: one.id, domain: first.id })).state).toBe('proven')
  publish(second)
  await expect(tenancy.verifyDomain({ tenant: two.id, domain: second.id })).rejects.toMatchObject({
    code: 'TENANCY_DOMAIN_TAKEN',
  })
  for (const change of ['verifyDomain', 'removeDomain'] as const) {
    await expect(tenancy[change]({ tenant: two.id, domain: first.id })).rejects.toMatchObject({
      code: 'TENANCY_DOMAIN_NOT_FOUND',
    })
  }
  expect(await tenancy.isProvenHost({ host: host.toUpperCase() })).toBe(true)
  await tenancy.suspendTenant({ tenant: one.id })
  expect(await tenancy.isProvenHost({ host })).toBe(false)
  await tenancy.reactivateTenant({ tenant: one.id })
  await tenancy.removeDomain({ tenant: one.id, domain: first.id })
  expect((await tenancy.verifyDomain({ tenant: two.id, domain: second.id })).state).toBe('proven')
})

test('Of two tenants that prove a host at once, one gets it', async () => {
  for (let round = 0; round < 30; round += 1) {
    const host = newHost()
    const added = await Promise.all([one, two].map(({ id }) => tenancy.addDomain({ tenant: id, host })))
    for (const each of added) publish(each)
    const settled = await Promise.allSettled(
      added.map(({ id, tenantId }) => tenancy.verifyDomain({ tenant: tenantId, domain: id })),
    )
    expect(settled.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    expect(settled.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'TENANCY_DOMAIN_TAKEN' },
    })
    await Promise.all(added.map(({ id, tenantId }) => tenancy.removeDomain({ tenant: tenantId, domain: id })))
  }
})

test('An outage takes a host away after 72 hours of failing, and an answer in time brings it back', async () => {
  const catalog = new pg.Pool({ connectionString: urlOf(installation.catalogName), max: 4 })
  try {
    const host = newHost()
    const domain = await tenancy.addDomain({ tenant: one.id, host })
    publish(domain)
    await tenancy.verifyDomain({ tenant: one.id, domain: domain.id })
    const look = async () => {
      await catalog.query("update tenant_domains set next_check_at = now() - interval '1 s' where id = $1", [domain.id])
      await Promise.all([checkDueDomains(catalog, resolveTxt), checkDueDomains(catalog, resolveTxt)])
      return (await tenancy.listDomains({ tenant: one.id })).find(({ id }) => id === domain.id)?.state
    }
    expect(await look()).toBe('proven')
    isDown = true
    expect(await look()).toBe('failing')
    expect(await look()).toBe('failing')
    expect(await tenancy.isProvenHost({ host })).toBe(true)
    isDown = false
    expect(await look()).toBe('proven')
    records.delete(domain.recordName)
    expect(await look()).toBe('failing')
    await catalog.query("update tenant_domains set failing_since = now() - interval '73 hours' where id = $1", [
      domain.id,
    ])
    expect(await look()).toBe('lapsed')
    expect(await tenancy.isProvenHost({ host })).toBe(false)
    const { rows } = await catalog.query<{ action: string }>(
      'select action from audit_log where subject = $1 order by seq',
      [`domain:${domain.id}`],
    )
    expect(rows.map(({ action }) => action)).toEqual([
      ...['domain.add', 'domain.prove', 'domain.fail', 'domain.recover', 'domain.fail', 'domain.lapse'],
    ])
  } finally {
    await catalog.end()
  }
})

test('A request by a proven host means its tenant, and no more once the host is removed', async () => {
  const host = newHost()
  const { token } = await tenancy.issueAccessToken({ user: owner })
  const ask = async (asked: string, tenantHeader?: string) =>
    (
      await tenancy.pipeline.handle({
        authorization: `Bearer ${token}`,
        host: asked,
        tenantHeader,
        pathTenant: undefined,
        needs: 'tenant',
      })
    ).tenant?.id
  expect(await ask(host)).toBe(one.id)
  const domain = await tenancy.addDomain({ tenant: two.id, host })
  publish(domain)
  await tenancy.verifyDomain({ tenant: two.id, domain: domain.id })
  await expect.poll(() => ask(`${host.toUpperCase()}.:8443`), { timeout: 5000 }).toBe(two.id)
  await expect(ask(host, one.id)).rejects.toMatchObject({ code: 'TENANCY_TENANT_CONFLICT' })
  const stranger = await tenancy.issueAccessToken({ user: await newUser('s@elsewhere.example.org') })
  await expect(
    (async () =>
      tenancy.pipeline.handle({
        authorization: `Bearer ${stranger.token}`,
        host,
        tenantHeader: undefined,
        pathTenant: undefined,
        needs: 'tenant',
      }))(),
  ).rejects.toMatchObject({ code: 'TENANCY_TENANT_FORBIDDEN' })
  await tenancy.removeDomain({ tenant: two.id, domain: domain.id })
  await expect.poll(() => ask(host), { timeout: 5000 }).toBe(one.id)
})

test('Who proves an address at a proven e-mail domain may join, unless an administrator removed them', async () => {
  const name = 'staff.example.org'
  const web = await tenancy.addDomain({ tenant: one.id, host: name })
  publish(web)
  await tenancy.verifyDomain({ tenant: one.id, domain: web.id })
  const user = await newUser(`bob@${name}`)
  const join = (who: string) => tenancy.joinTenant({ tenant: one.id, user: who })
  const refused = { code: 'TENANCY_DOMAIN_JOIN_REFUSED' }
  await expect(join(user)).rejects.toMatchObject(refused)
  for (const role of ['Owner', 'Admin']) {
    await expect(
      tenancy.addEmailDomain({ tenant: one.id, domain: name, roles: [role], actor: owner }),
    ).rejects.toMatchObject({ code: 'TENANCY_ACCESS_GRANT_REFUSED' })
  }
  const domain = await tenancy.addEmailDomain({ tenant: one.id, domain: name, roles: ['Member'], actor: owner })
  await expect(tenancy.verifyEmailDomain({ tenant: one.id, domain: domain.id })).rejects.toMatchObject({
    code: 'TENANCY_DOMAIN_NOT_PROVEN',
  })
  publish(domain)
  await tenancy.verifyEmailDomain({ tenant: one.id, domain: domain.id })
  for (const [address, isVerified] of [
    [`u@${name}`, false],
    [`u@sub.${name}`, true],
    [`u@x${name}`, true],
  ] as const) {
    const other = await newUser(address, isVerified)
    expect(await tenancy.listJoinableTenants({ user: other })).toEqual([])
    await expect(join(other)).rejects.toMatchObject(refused)
  }
  expect(await tenancy.listJoinableTenants({ user })).toMatchObject([{ tenantId: one.id, domain: name }])
  await join(user)
  expect((await tenancy.getMember({ tenant: one.id, user })).roles).toEqual(['Member'])
  await expect(join(user)).rejects.toMatchObject({ code: 'TENANCY_MEMBER_EXISTS' })
  await tenancy.leaveTenant({ tenant: one.id, user })
  await join(user)
  await tenancy.removeMember({ tenant: one.id, user, actor: owner })
  expect(await tenancy.listJoinableTenants({ user })).toEqual([])
  await expect(join(user)).rejects.toMatchObject(refused)
})

test('Twenty who join at once fill the tenant to its limit and no further', async () => {
  const name = 'crowd.example.org'
  const tenant = await tenancy.createTenant({ name: 'Crowd', slug: 'crowd', owner, maxUsers: 5 })
  const domain = await tenancy.addEmailDomain({ tenant: tenant.id, domain: name, actor: owner })
  publish(domain)
  await tenancy.verifyEmailDomain({ tenant: tenant.id, domain: domain.id })
  const users = await Promise.all(Array.from({ length: 20 }, (_, index) => newUser(`p${index}@${name}`)))
  const settled = await Promise.allSettled(users.map((user) => tenancy.joinTenant({ tenant: tenant.id, user })))
  const refused = settled.filter((each) => each.status === 'rejected')
  expect(refused).toHaveLength(16)
  for (const { reason } of refused) expect(reason).toMatchObject({ code: 'TENANCY_MEMBER_LIMIT_REACHED' })
})

test('A domain is removed while it is looked for: the look ends, and nothing comes back', async () => {
  const catalog = new pg.Pool({ connectionString: urlOf(installation.catalogName), max: 2 })
  try {
    const domain = await tenancy.addDomain({ tenant: one.id, host: newHost() })
    publish(domain)
    await tenancy.verifyDomain({ tenant: one.id, domain: domain.id })
    await catalog.query("update tenant_domains set next_check_at = now() - interval '1 s' where id = $1", [domain.id])
    await checkDueDomains(catalog, async (record) => {
      await tenancy.removeDomain({ tenant: one.id, domain: domain.id })
      return resolveTxt(record)
    })
    expect((await tenancy.listDomains({ tenant: one.id })).map(({ id }) => id)).not.toContain(domain.id)
  } finally {
    await catalog.end()
  }
})
