import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAuditLog } from '../../../src/catalog/audit/audit-log.js'
import { createMemberships, type Memberships } from '../../../src/catalog/members/memberships.js'
import type { Tenants } from '../../../src/catalog/tenants/tenants.js'
import { type CatalogUsers, createUserDirectory } from '../../../src/catalog/users/users.js'
import { createInstallation, type Installation } from '../../databases/fixture.js'

let installation: Installation
let tenants: Tenants
let memberships: Memberships
let users: CatalogUsers
let owner: string
let user: string
let email: string
let count = 0

beforeAll(async () => {
  installation = await createInstallation()
  ;({ tenants } = installation.open())
  memberships = createMemberships({ catalog: installation.catalog.pool })
  users = createUserDirectory(installation.catalog.pool, { issuers: [{ issuer: 'https://idp.example' }] })
  owner = await installation.createUser('owner')
})
afterAll(() => installation.drop())
beforeEach(async () => {
  count += 1
  email = `grace-${count}@example.com`
  user = (await users.createUser({ email, name: 'Grace Hopper', emailVerified: true })).user.id
})

const sql = (text: string, values: unknown[] = []) => installation.catalog.pool.query(text, values)
const audit = () => createAuditLog(installation.catalog.pool)
const newTenant = (by = owner) => tenants.createTenant({ name: 'T', slug: `t-${count}-${(count += 1)}`, owner: by })
/** Everything that the catalog has, as text. */
async function everything(): Promise<string> {
  const { rows } = await sql(
    "select format('select coalesce(string_agg(t::text, E''\\n''), '''') as text from %I t', table_name) as query from information_schema.tables where table_schema = 'public'",
  )
  const texts = await Promise.all(rows.map(async ({ query }) => (await sql(query as string)).rows[0].text as string))
  return texts.join('\n')
}

describe('deleteUser', () => {
  test('nothing of a person is left in the catalog but the id, and the chains stay whole', async () => {
    const tenant = await newTenant()
    await memberships.addMember({ tenant: tenant.id, user, roles: ['Owner'], actor: owner })
    await users.updateUser({ user, name: 'Amazing Grace', image: 'https://example.com/grace.png', actor: user })
    await users.linkIdentity({ user, issuer: 'https://idp.example', subject: 'grace-at-idp' })
    await users.linkIdentity({ user, issuer: 'https://idp.example', subject: 'grace-too' })
    await users.unlinkIdentity({ user, issuer: 'https://idp.example', subject: 'grace-too' })
    await sql(
      "insert into user_registrations (token_hash, email, name, expires_at) values ($1, $2, 'Grace', now() + interval '1 day')",
      ['x'.repeat(43), email],
    )
    expect(await everything()).toMatch(/grace/i)
    await users.deleteUser({ user, actor: owner })
    expect(await everything()).not.toMatch(/grace/i)
    expect(await users.findUserById(user)).toBeUndefined()
    expect(await audit().verify()).toMatchObject({ isIntact: true, problems: [] })
    const own = (await audit().list({ tenant: null, limit: 1000 })).filter(({ subject }) => subject === `user:${user}`)
    expect(own).toMatchObject([
      { action: 'user.create', after: { erased: true, emailVerified: true } },
      { action: 'user.update', actorId: user, before: { erased: true }, after: { erased: true } },
      { action: 'user.identity.link', after: { issuer: 'https://idp.example', erased: true } },
      { action: 'user.identity.link' },
      { action: 'user.identity.unlink', before: { issuer: 'https://idp.example', erased: true } },
      { action: 'user.delete', actorId: owner, before: null, after: null },
    ])
    expect((await audit().list({ tenant: tenant.id })).at(-1)).toMatchObject({
      ...{ action: 'member.remove', actorId: owner, subject: `user:${user}`, before: { roles: ['Owner'] } },
    })
  })

  test('until then, entries show what was written', async () => {
    await users.updateUser({ user, name: 'Amazing Grace' })
    const [created, updated] = (await audit().list({ tenant: null, limit: 1000 })).slice(-2)
    expect(created).toMatchObject({ after: { email, name: 'Grace Hopper', image: null, emailVerified: true } })
    expect(updated).toMatchObject({ before: { name: 'Grace Hopper' }, after: { name: 'Amazing Grace' } })
  })

  test('the last Owner of a tenant is not erased, and the error names the tenants', async () => {
    const [first, second, shared] = [await newTenant(user), await newTenant(user), await newTenant(user)]
    await memberships.addMember({ tenant: shared.id, user: owner, roles: ['Owner'] })
    await tenants.deleteTenant({ tenant: second.id })
    await expect(users.deleteUser({ user })).rejects.toMatchObject({
      code: 'TENANCY_MEMBER_LAST_OWNER',
      details: { tenants: [first.slug, second.slug] },
    })
    expect(await users.findUserById(user)).toBeDefined()
    await memberships.addMember({ tenant: first.id, user: owner, roles: ['Owner'] })
    await tenants.purgeTenant({ tenant: second.id })
    await users.deleteUser({ user })
    expect(await tenants.getTenant(first.id)).toMatchObject({ createdBy: null })
  })

  test('an Owner who is disabled or inactive does not count', async () => {
    const tenant = await newTenant(user)
    const other = await installation.createUser(`other-${count}`)
    await memberships.addMember({ tenant: tenant.id, user: other, roles: ['Owner'] })
    await users.disableUser({ user: other })
    await expect(users.deleteUser({ user })).rejects.toMatchObject({ code: 'TENANCY_MEMBER_LAST_OWNER' })
    await users.enableUser({ user: other })
    await memberships.setMemberActive({ tenant: tenant.id, user: other, isActive: false })
    await expect(users.deleteUser({ user })).rejects.toMatchObject({ code: 'TENANCY_MEMBER_LAST_OWNER' })
  })

  test('of two Owners who are erased at once, one stays', async () => {
    for (let round = 0; round < 20; round += 1) {
      const pair = [await installation.createUser(), await installation.createUser()] as const
      const tenant = await newTenant(pair[0])
      await memberships.addMember({ tenant: tenant.id, user: pair[1], roles: ['Owner'] })
      const outcomes = await Promise.allSettled(pair.map((one) => users.deleteUser({ user: one })))
      expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    }
  })

  test('a user who becomes the last Owner while being erased stays', async () => {
    for (let round = 0; round < 20; round += 1) {
      const [one, other] = [await installation.createUser(), await installation.createUser()]
      const tenant = await newTenant(other)
      await Promise.allSettled([
        memberships
          .addMember({ tenant: tenant.id, user: one, roles: ['Owner'] })
          .then(() => memberships.removeMember({ tenant: tenant.id, user: other })),
        users.deleteUser({ user: one }),
      ])
      const { rows } = await sql('select user_id from user_tenant_roles where tenant_id = $1', [tenant.id])
      expect(rows.length).toBeGreaterThan(0)
    }
  })

  test('an unknown user is not found', async () => {
    for (const id of [randomUUID(), 'x', '']) {
      await expect(users.deleteUser({ user: id })).rejects.toMatchObject({ code: 'TENANCY_USER_NOT_FOUND' })
      await expect(users.updateUser({ user: id, name: 'x' })).rejects.toMatchObject({ code: 'TENANCY_USER_NOT_FOUND' })
    }
  })
})

describe('updateUser', () => {
  test('what is given is changed, the rest stays, and what is the same is no change', async () => {
    const updated = await users.updateUser({ user, image: 'HTTPS://Example.com/a b.png', actor: user })
    expect(updated.user).toMatchObject({ name: 'Grace Hopper', image: 'https://example.com/a%20b.png', email })
    const { entries } = await audit().verify()
    expect((await users.updateUser({ user, name: 'Grace Hopper' })).user).toEqual(updated.user)
    expect((await users.updateUser({ user })).user).toEqual(updated.user)
    expect((await audit().verify()).entries).toBe(entries)
    expect((await users.updateUser({ user, image: null, name: '' })).user).toMatchObject({ name: '', image: null })
  })

  test.each([
    { name: 'a\nb' },
    { name: 'x'.repeat(201) },
    { image: 'javascript:alert(1)' },
    { image: 'x' },
    { email: 'a@b.example' },
  ])('a bad fact is refused: %j', async (facts) => {
    const code = 'TENANCY_REQUEST_INVALID'
    await expect(users.updateUser({ user, ...facts })).rejects.toMatchObject({ code })
  })
})

describe('personal parts', () => {
  test('a part that was altered or taken away shows in the verification', async () => {
    const bypassed = async (text: string) => {
      await sql(`begin; set local session_replication_role = replica; ${text}; commit`)
      const problems = (await audit().verify({ tenant: null })).problems
      return problems
    }
    const { rows } = await sql('select facts from audit_personal where user_id = $1', [user])
    expect(rows).toHaveLength(1)
    const [found] = await bypassed(
      `update audit_personal set facts = facts || '{"name": "Mallory"}' where user_id = '${user}'`,
    )
    expect(found).toMatchObject({ tenantId: null, kind: 'altered' })
    const entry = (await audit().list({ tenant: null, limit: 1000 })).find(({ seq }) => seq === found!.seq)
    expect(entry).toMatchObject({ action: 'user.create', subject: `user:${user}` })
    expect(await bypassed(`delete from audit_personal where user_id = '${user}'`)).toEqual([found])
    await users.deleteUser({ user })
    expect(await audit().verify({ tenant: null })).toMatchObject({ isIntact: true })
  })

  test('they cannot be changed or deleted, but with their user', async () => {
    await expect(sql("update audit_personal set facts = '{}'")).rejects.toThrow('append-only')
    await expect(sql('delete from audit_personal where user_id = $1', [user])).rejects.toThrow('append-only')
    await expect(sql('truncate audit_personal')).rejects.toThrow('append-only')
  })

  test('of a user who is created and deleted in one transaction, none is kept', async () => {
    await sql(
      "begin; insert into users (email, name) values ('brief@example.com', 'Brief'); update users set name = 'Briefer' where email = 'brief@example.com'; delete from users where email = 'brief@example.com'; commit",
    )
    expect(await everything()).not.toMatch(/brief/i)
    expect(await audit().verify()).toMatchObject({ isIntact: true })
  })
})
