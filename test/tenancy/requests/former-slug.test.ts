import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Tenancy, User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { redisUrl } from '../../support/redis/redis.js'
import { withAdmin } from '../../support/server.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

const redis = redisUrl()
const forbidden = '403 TENANCY_TENANT_FORBIDDEN'

let installation: Installation
let tenancy: Tenancy
let app: FastifyInstance
let owner: User
let member: User
let count = 0

async function open(env: Record<string, string>): Promise<void> {
  installation = createInstallation({ TENANT_BASE_DOMAIN: 'app.example', ...env })
  tenancy = await installation.open()
  app = await createNotesApp(tenancy)
  owner = await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })
  member = await tenancy.createUser({ email: 'member@example.com', emailVerified: true })
}
async function close(): Promise<void> {
  await app.close()
  await installation.drop()
}

/** A renamed tenant with a member, and its two slugs. */
async function renamed() {
  count += 1
  const [former, slug] = [`former-${count}`, `latter-${count}`]
  const { id } = await tenancy.createTenant({ name: 'Acme', slug: former, owner: owner.id })
  await tenancy.addMember({ tenant: id, user: member.id })
  await ask(member, { 'x-tenant-id': former })
  await tenancy.renameTenant({ tenant: former, slug })
  return { id, former, slug }
}

async function ask(user: User, headers: Record<string, string>, claim?: string): Promise<string> {
  const { token } = await tenancy.issueAccessToken({ user: user.id, tenant: claim })
  const response = await app.inject({ url: '/me/tenant', headers: { ...bearer(token), ...headers } })
  return response.statusCode === 200 ? response.json<{ slug: string }>().slug : outcome(response)
}

/** Changes the catalog behind the back of every process, as time does. */
const sql = (text: string, values: unknown[] = []) =>
  withAdmin((admin) => admin.query(text, values), installation.catalogName)

const caches = [
  { title: 'without a shared cache', env: {} },
  ...(redis === undefined ? [] : [{ title: 'with Redis', env: { TENANT_REDIS_URL: redis } }]),
]
describe.each(caches)('$title', ({ env }) => {
  beforeAll(() => open(env))
  afterAll(close)
  afterEach(() => sql('update tenant_slug_aliases set expires_at = now()'))

  test('requests by the old slug find the renamed tenant, for members only', async () => {
    const { former, slug, id } = await renamed()
    for (const _ of ['read', 'cached']) {
      expect(await ask(member, { 'x-tenant-id': former })).toBe(slug)
      expect(await ask(member, { host: `${former}.app.example` })).toBe(slug)
      expect(await ask(member, {}, former)).toBe(slug)
      expect(await ask(member, { 'x-tenant-id': former, host: `${slug}.app.example` })).toBe(slug)
    }
    const stranger = await tenancy.createUser({ email: `stranger-${id}@example.com`, emailVerified: true })
    expect(await ask(stranger, { 'x-tenant-id': former })).toBe(forbidden)
    expect(await tenancy.runWithTenant({ tenant: former }, () => 'run')).toBe('run')
  })

  test('a token that was made by the slug is for that tenant for as long as it lives, whoever has the slug by then', async () => {
    const { former, slug } = await renamed()
    const { token } = await tenancy.issueAccessToken({ user: member.id, tenant: former })
    await tenancy.releaseSlug({ slug: former })
    const other = await tenancy.createTenant({ name: 'Other', slug: former, owner: member.id })
    const response = await app.inject({ url: '/me/tenant', headers: bearer(token) })
    expect(response.json()).toMatchObject({ slug })
    expect(await ask(member, { 'x-tenant-id': former }, other.id)).toBe(former)
  })

  test('an alias that ends does so for a member who is cached by it', async () => {
    const { former, slug } = await renamed()
    await sql("update tenant_slug_aliases set expires_at = now() + interval '300 milliseconds' where slug = $1", [
      former,
    ])
    // Only then is it read, with its end.
    await tenancy.updateTenant({ tenant: slug, maxUsers: 5 })
    let answer = slug
    while (answer === slug) answer = await ask(member, { 'x-tenant-id': former })
    expect(answer).toBe(forbidden)
    expect(await ask(member, { 'x-tenant-id': slug })).toBe(slug)
  })

  test('a released slug is another tenant’s once it takes it', async () => {
    const { former, slug, id } = await renamed()
    expect(await ask(member, { 'x-tenant-id': former })).toBe(slug)
    expect(await tenancy.releaseSlug({ slug: former, actor: owner.id })).toMatchObject({ id, slug })
    expect(await ask(member, { 'x-tenant-id': former })).toBe(forbidden)
    const next = await tenancy.createTenant({ name: 'Next', slug: former, owner: owner.id })
    expect(await ask(owner, { 'x-tenant-id': former })).toBe(former)
    expect(await ask(member, { 'x-tenant-id': former })).toBe(forbidden)
    expect((await tenancy.getTenant(former)).id).toBe(next.id)
    expect((await tenancy.audit.list({ tenant: id })).at(-1)).toMatchObject({
      action: 'tenant.slug.release',
      actorId: owner.id,
      before: { formerSlug: former },
    })
  })

  test('a tenant that takes its old slug back has the other one as its alias', async () => {
    const { former, slug, id } = await renamed()
    await tenancy.renameTenant({ tenant: id, slug: former })
    expect(await ask(member, { 'x-tenant-id': slug })).toBe(former)
    expect(await ask(member, { 'x-tenant-id': former })).toBe(former)
    await expect(tenancy.releaseSlug({ slug: former })).rejects.toMatchObject({ code: 'TENANCY_TENANT_NOT_FOUND' })
  })
})

describe('with TENANT_SLUG_ALIAS_DAYS=0', () => {
  beforeAll(() => open({ TENANT_SLUG_ALIAS_DAYS: '0' }))
  afterAll(close)

  test('the old slug of a renamed tenant is refused, and free', async () => {
    const { former } = await renamed()
    expect(await ask(member, { 'x-tenant-id': former })).toBe(forbidden)
    expect(await tenancy.isSlugAvailable({ slug: former })).toEqual({ isAvailable: true, reason: null })
  })
})
