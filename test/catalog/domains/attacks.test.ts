import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkDueDomains } from '../../../src/catalog/domains/keep-proven.js'
import type { Tenancy } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { urlOf } from '../../support/server.js'

// Ways to come by a domain to what its tenant did not mean to give.

let installation: Installation
let tenancy: Tenancy
let catalog: pg.Pool
let owner: string
const records = new Map<string, string[]>()
const resolveTxt = async (name: string) => records.get(name) ?? []
const refused = { code: 'TENANCY_DOMAIN_JOIN_REFUSED' }

beforeAll(async () => {
  installation = createInstallation({ TENANT_READY_DATABASES: '0', TENANT_SEED_PROFILE: 'prod' })
  tenancy = await installation.open({ domains: { resolveTxt } })
  catalog = new pg.Pool({ connectionString: urlOf(installation.catalogName), max: 3 })
  owner = await newUser('owner@first.example.org')
})
afterAll(async () => {
  await catalog?.end()
  await installation.drop()
})

let count = 0
const newUser = async (email: string) => (await tenancy.createUser({ email, name: 'U', emailVerified: true })).id
async function newTenant(): Promise<string> {
  count += 1
  return (await tenancy.createTenant({ name: `T ${count}`, slug: `attacked-${count}`, owner })).id
}
async function provenHost(tenant: string, host: string) {
  const domain = await tenancy.addDomain({ tenant, host })
  records.set(domain.recordName, [...(records.get(domain.recordName) ?? []), domain.recordValue])
  return tenancy.verifyDomain({ tenant, domain: domain.id })
}
async function provenEmailDomain(tenant: string, domain: string, roles: readonly string[], actor = owner) {
  const added = await tenancy.addEmailDomain({ tenant, domain, roles, actor })
  records.set(added.recordName, [added.recordValue])
  return tenancy.verifyEmailDomain({ tenant, domain: added.id })
}
const due = (tenant: string) =>
  catalog.query("update tenant_domains set next_check_at = now() - interval '1 s' where tenant_id = $1", [tenant])

test('Leaving and joining again takes no restriction away: whoever has one needs an invitation', async () => {
  const tenant = await newTenant()
  await provenEmailDomain(tenant, 'left.example.org', ['Member'])
  const restrict = {
    denied: (user: string) =>
      tenancy.access.setOverride({ tenant, user, permission: 'members:read', effect: 'deny', actor: owner }),
    'without a role': (user: string) => tenancy.access.unassignRole({ tenant, user, role: 'Member', actor: owner }),
    'denied what the domain does not give': (user: string) =>
      tenancy.access.setOverride({ tenant, user, permission: 'audit:read', effect: 'deny', actor: owner }),
  }
  const leave = {
    leaves: (user: string) => tenancy.leaveTenant({ tenant, user }),
    'removes themselves': (user: string) => tenancy.removeMember({ tenant, user, actor: user }),
  }
  for (const [what, restricted] of Object.entries(restrict)) {
    for (const [how, gone] of Object.entries(leave)) {
      const user = await newUser(`u${(count += 1)}@left.example.org`)
      await tenancy.joinTenant({ tenant, user })
      await restricted(user)
      await gone(user)
      expect(await tenancy.listJoinableTenants({ user }), `${what}, ${how}`).toEqual([])
      await expect(tenancy.joinTenant({ tenant, user }), `${what}, ${how}`).rejects.toMatchObject(refused)
    }
  }
  const free = await newUser('free@left.example.org')
  for (const again of [1, 2]) {
    await tenancy.joinTenant({ tenant, user: free })
    expect((await tenancy.getMember({ tenant, user: free })).roles, String(again)).toEqual(['Member'])
    await tenancy.leaveTenant({ tenant, user: free })
  }
})

test('A domain gives for ever only what its giver holds for ever', async () => {
  const tenant = await newTenant()
  await tenancy.access.createRole({ tenant, name: 'Support', actor: owner })
  await tenancy.access.grantPermission({ tenant, role: 'Support', permission: 'members:read', actor: owner })
  const giver = await newUser('giver@first.example.org')
  await tenancy.addMember({ tenant, user: giver, roles: ['Support'] })
  await provenEmailDomain(tenant, 'giver.example.org', ['Support'], giver)
  await tenancy.joinTenant({ tenant, user: await newUser('a@giver.example.org') })
  await tenancy.access.unassignRole({ tenant, user: giver, role: 'Support', actor: owner })
  const later = await newUser('b@giver.example.org')
  await expect(tenancy.joinTenant({ tenant, user: later })).rejects.toMatchObject(refused)
  const allow = { ...{ tenant, user: giver, permission: 'members:read', actor: owner }, effect: 'allow' } as const
  await tenancy.access.setOverride({ ...allow, expiresAt: new Date(Date.now() + 60_000) })
  await expect(tenancy.joinTenant({ tenant, user: later })).rejects.toMatchObject(refused)
  await tenancy.access.setOverride({ ...allow, expiresAt: null })
  await tenancy.joinTenant({ tenant, user: later })
})

test('A name that somebody else proves is looked for again at once, and joining by it ends', async () => {
  const [before, after] = [await newTenant(), await newTenant()]
  const name = 'sold.example.org'
  const held = await provenEmailDomain(before, name, [])
  const user = await newUser(`u@${name}`)
  const rival = await tenancy.addEmailDomain({ tenant: after, domain: name, actor: owner })
  const dueNow = async () => (await catalog.query('select from tenant_domains where next_check_at <= now()')).rowCount
  const verify = tenancy.verifyEmailDomain({ tenant: after, domain: rival.id })
  await expect(verify).rejects.toMatchObject({ code: 'TENANCY_DOMAIN_NOT_PROVEN' })
  // Whoever publishes nothing makes nobody look.
  expect(await dueNow()).toBe(0)
  records.set(rival.recordName, [rival.recordValue])
  await expect(tenancy.verifyEmailDomain({ tenant: after, domain: rival.id })).rejects.toMatchObject({
    code: 'TENANCY_DOMAIN_TAKEN',
  })
  expect(await dueNow()).toBe(1)
  expect(await checkDueDomains(catalog, resolveTxt)).toBe(1)
  expect(await tenancy.listEmailDomains({ tenant: before })).toMatchObject([{ id: held.id, state: 'failing' }])
  await expect(tenancy.joinTenant({ tenant: before, user })).rejects.toMatchObject(refused)
})

test('A tenant that is locked keeps no domain of another one from being looked at', async () => {
  const [locked, other] = [await newTenant(), await newTenant()]
  await provenHost(locked, 'locked.example.org')
  for (let index = 0; index < 12; index += 1) await provenHost(other, `o${index}.example.org`)
  // Looked for first.
  await due(locked)
  await due(other)
  await catalog.query("update tenant_domains set next_check_at = now() - interval '1 h' where tenant_id = $1", [locked])
  records.clear()
  const client = await catalog.connect()
  try {
    await client.query('begin')
    await client.query('select from tenants where id = $1 for update', [locked])
    await expect(checkDueDomains(catalog, resolveTxt)).rejects.toMatchObject({ code: '55P03' })
    await client.query('rollback')
  } finally {
    client.release()
  }
  const states = (await tenancy.listDomains({ tenant: other })).map(({ state }) => state)
  expect(states).toEqual(Array.from({ length: 12 }, () => 'failing'))
  await due(locked)
  await checkDueDomains(catalog, resolveTxt)
  expect(await tenancy.listDomains({ tenant: locked })).toMatchObject([{ state: 'failing' }])
})

test('Nobody looks for the domains of a deleted tenant; restored, they are due', async () => {
  const tenant = await newTenant()
  await provenHost(tenant, 'deleted.example.org')
  await due(tenant)
  await tenancy.deleteTenant({ tenant })
  const asked: string[] = []
  const look = () => checkDueDomains(catalog, async (name) => (asked.push(name), []))
  await look()
  expect(asked).toEqual([])
  await tenancy.undeleteTenant({ tenant })
  await look()
  expect(asked).toEqual(['_tenants2fast-challenge.deleted.example.org'])
  expect(await tenancy.listDomains({ tenant })).toMatchObject([{ state: 'failing' }])
})
