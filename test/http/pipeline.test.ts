import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { findTenancyError } from '../../src/core/errors/errors.js'
import { toProblem } from '../../src/http/problem.js'
import { asking, createRequestPath, type RequestPath } from './fixture.js'

let path: RequestPath
let user: string
let acme: string
let globex: string
let other: string

beforeAll(async () => {
  path = await createRequestPath({ baseDomain: 'example.com' })
  user = await path.addUser()
  acme = await path.addTenant('acme')
  globex = await path.addTenant('globex')
  other = await path.addTenant('other-one')
  await path.addMember(user, acme)
  await path.addMember(user, globex, 'Owner')
  await path.heard()
})
afterAll(() => path.close())
beforeEach(() => {
  path.before = () => {}
})

async function codeOf(request: () => unknown): Promise<string> {
  return (await errorOf(request)).code
}

async function errorOf(request: () => unknown) {
  try {
    await request()
  } catch (error) {
    const found = findTenancyError(error)
    if (found !== undefined) return found
    throw error
  }
  throw new Error('It passed')
}

describe('which tenant', () => {
  test('Header, claim, host and path each can name the tenant, by slug or id', async () => {
    const plain = path.tokenFor(user)
    for (const facts of [
      asking(plain, { tenantHeader: 'acme' }),
      asking(plain, { tenantHeader: acme }),
      asking(path.tokenFor(user, { tenant: 'acme' })),
      asking(plain, { host: 'ACME.example.com:3000' }),
      asking(plain, { pathTenant: acme }),
      asking(path.tokenFor(user, { tenant: acme }), {
        tenantHeader: 'acme',
        host: 'acme.example.com',
        pathTenant: acme,
      }),
    ]) {
      expect((await path.pipeline.handle(facts)).tenant?.slug).toBe('acme')
    }
  })

  test('A request whose header, claim, host and path name different tenants is refused', async () => {
    const facts = asking(path.tokenFor(user, { tenant: 'acme' }), { tenantHeader: 'globex' })
    expect(await codeOf(() => path.pipeline.handle(facts))).toBe('TENANCY_TENANT_CONFLICT')
  })

  test('Another tenant, a tenant that does not exist and garbage get the same answer, byte for byte', async () => {
    const token = path.tokenFor(user)
    const inAcme = path.tokenFor(user, { tenant: acme })
    const bodies = new Set<string>()
    for (const facts of [
      asking(token, { tenantHeader: 'other-one' }),
      asking(token, { tenantHeader: other }),
      asking(token, { tenantHeader: 'no-such-tenant' }),
      asking(token, { tenantHeader: randomUUID() }),
      asking(token, { tenantHeader: 'not a tenant' }),
      asking(token, { tenantHeader: '' }),
      asking(token, { tenantHeader: 'acme, acme' }),
      asking(token, { host: 'other-one.example.com' }),
      asking(token, { pathTenant: 'other-one' }),
      asking(inAcme, { tenantHeader: 'other-one' }),
      asking(inAcme, { tenantHeader: 'no-such-tenant' }),
      asking(inAcme, { tenantHeader: 'globex', pathTenant: 'other-one' }),
    ]) {
      bodies.add(JSON.stringify(toProblem(await errorOf(() => path.pipeline.handle(facts)))))
    }
    expect([...bodies]).toHaveLength(1)
    expect([...bodies][0]).toContain('TENANCY_TENANT_FORBIDDEN')
  })

  test('A request that names no tenant gets the only or default one; a user of several tenants must choose', async () => {
    const [several, single, nobody] = await Promise.all([path.addUser(), path.addUser(), path.addUser()])
    await path.addMember(several, acme)
    await path.addMember(several, globex)
    await path.addMember(single, globex)
    const token = path.tokenFor(several)
    expect(await codeOf(() => path.pipeline.handle(asking(token)))).toBe('TENANCY_TENANT_REQUIRED')
    expect((await path.pipeline.handle(asking(path.tokenFor(single)))).tenant?.slug).toBe('globex')
    expect(await codeOf(() => path.pipeline.handle(asking(path.tokenFor(nobody))))).toBe('TENANCY_TENANT_NONE')
    await path.catalog.pool.query('update user_tenants set is_default = true where user_id = $1 and tenant_id = $2', [
      several,
      acme,
    ])
    await path.heard()
    expect((await path.pipeline.handle(asking(token))).tenant?.slug).toBe('acme')
  })

  test('Only members learn that a tenant is suspended or deleted', async () => {
    const closed = await path.addTenant('closed-one')
    await path.addMember(user, closed)
    const [member, stranger] = [path.tokenFor(user), path.tokenFor(await path.addUser())]
    for (const [status, code] of [
      ['suspended', 'TENANCY_TENANT_SUSPENDED'],
      ['deleted', 'TENANCY_TENANT_DELETED'],
    ]) {
      await path.catalog.pool.query('update tenants set status = $2 where id = $1', [closed, status])
      await path.heard()
      expect(await codeOf(() => path.pipeline.handle(asking(member, { tenantHeader: 'closed-one' })))).toBe(code)
      expect(await codeOf(() => path.pipeline.handle(asking(stranger, { tenantHeader: 'closed-one' })))).toBe(
        'TENANCY_TENANT_FORBIDDEN',
      )
    }
    await path.catalog.pool.query('delete from user_tenants where tenant_id = $1', [closed])
    await path.heard()
  })
})

describe('who calls', () => {
  test('A public route reads no credentials, and a route for users reads no tenant', async () => {
    expect((await path.pipeline.handle(asking('rubbish', { needs: 'none' }))).user).toBeUndefined()
    const context = await path.pipeline.handle(
      asking(path.tokenFor(user), { needs: 'user', tenantHeader: 'other-one' }),
    )
    expect([context.user?.id, context.tenant, context.access]).toEqual([user, undefined, undefined])
  })

  test('Missing credentials, a bad token and an unknown user are refused with different codes', async () => {
    expect(await codeOf(() => path.pipeline.handle({ ...asking(''), authorization: undefined }))).toBe(
      'TENANCY_AUTH_REQUIRED',
    )
    expect(await codeOf(() => path.pipeline.handle(asking('rubbish')))).toBe('TENANCY_AUTH_TOKEN_INVALID')
    for (const subject of [randomUUID(), "'; drop table users --"]) {
      expect(await codeOf(() => path.pipeline.handle(asking(path.tokenFor(subject))))).toBe('TENANCY_AUTH_USER_REFUSED')
    }
  })

  test.each(['disabled_at = now()', 'email_verified = false', 'token_epoch = token_epoch + 1'])(
    'A user changed by "%s" is refused as soon as the change is heard of',
    async (assignment) => {
      const id = await path.addUser()
      await path.addMember(id, acme)
      await path.heard()
      const token = path.tokenFor(id)
      await path.pipeline.handle(asking(token))
      await path.catalog.pool.query(`update users set ${assignment} where id = $1`, [id])
      await path.heard()
      expect(await codeOf(() => path.pipeline.handle(asking(token)))).toMatch(
        /^TENANCY_AUTH_(USER_REFUSED|TOKEN_INVALID)$/,
      )
    },
  )

  test('A token of another issuer counts if it was issued after the last revocation', async () => {
    const id = await path.addUser()
    await path.addMember(id, acme)
    await path.catalog.pool.query(
      "insert into user_identities (issuer, subject, user_id) values ('https://idp', 's1', $1)",
      [id],
    )
    await path.catalog.pool.query("update users set tokens_valid_after = now() - interval '1 minute' where id = $1", [
      id,
    ])
    await path.heard()
    const foreign = { isOwn: false, issuer: 'https://idp', epoch: undefined }
    const nowSeconds = Math.floor(Date.now() / 1000)
    expect((await path.pipeline.handle(asking(path.tokenFor('s1', foreign)))).user?.id).toBe(id)
    const old = path.tokenFor('s1', { ...foreign, issuedAt: nowSeconds - 3600 })
    expect(await codeOf(() => path.pipeline.handle(asking(old)))).toBe('TENANCY_AUTH_TOKEN_INVALID')
    expect(await codeOf(() => path.pipeline.handle(asking(path.tokenFor('s2', foreign))))).toBe(
      'TENANCY_AUTH_USER_REFUSED',
    )
  })
})

describe('warm requests', () => {
  test('The second request is answered at once, without a query, with the same frozen context', async () => {
    const facts = asking(path.tokenFor(user), { tenantHeader: 'acme' })
    const first = await path.pipeline.handle(facts)
    const before = path.queries()
    const second = path.pipeline.handle({ ...facts })
    expect(second).toBe(first)
    expect(Object.isFrozen(second)).toBe(true)
    expect(path.queries()).toBe(before)
  })

  test('One token that alternates between two tenants gets the right one each time', async () => {
    const token = path.tokenFor(user)
    for (const slug of ['acme', 'globex', 'acme', 'globex']) {
      const context = await path.pipeline.handle(asking(token, { tenantHeader: slug }))
      expect(context.tenant?.slug).toBe(slug)
      expect(context.access?.hasRole('Owner')).toBe(slug === 'globex')
      expect(context.pool?.()).toEqual({ tenant: slug })
    }
  })

  test('A revoked membership, role or tenant takes effect as soon as the change is heard of', async () => {
    const id = await path.addUser()
    await path.addMember(id, acme, 'Owner')
    await path.heard()
    const facts = asking(path.tokenFor(id), { tenantHeader: 'acme' })
    expect((await path.pipeline.handle(facts)).access?.hasRole('Owner')).toBe(true)
    await path.catalog.pool.query('delete from user_tenant_roles where user_id = $1', [id])
    await path.heard()
    expect((await path.pipeline.handle(facts)).access?.hasRole('Owner')).toBe(false)
    await path.catalog.pool.query('update user_tenants set is_active = false where user_id = $1', [id])
    await path.heard()
    expect(await codeOf(() => path.pipeline.handle(facts))).toBe('TENANCY_TENANT_FORBIDDEN')
  })

  test('A changed rule set reaches the guards with the next request', async () => {
    const facts = asking(path.tokenFor(user), { tenantHeader: 'globex' })
    const guard = path.rules.guard({ kind: 'permission', name: 'reports:read' })
    expect(guard.allows((await path.pipeline.handle(facts)).access!)).toBe(true)
    await path.catalog.pool.query("update permissions set is_active = false where name = 'reports:read'")
    await path.heard()
    expect(guard.allows((await path.pipeline.handle(facts)).access!)).toBe(false)
    await path.catalog.pool.query("update permissions set is_active = true where name = 'reports:read'")
    await path.heard()
    expect(guard.allows((await path.pipeline.handle(facts)).access!)).toBe(true)
  })

  test('A catalog outage answers cold requests 503 and does not affect warm ones', async () => {
    const warm = asking(path.tokenFor(user), { tenantHeader: 'acme' })
    await path.pipeline.handle(warm)
    path.before = () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.7:5432'))
    expect((await path.pipeline.handle(warm)).tenant?.slug).toBe('acme')
    path.cache.invalidate()
    for (const facts of [warm, asking(path.tokenFor(user), { tenantHeader: 'globex' }), asking(path.tokenFor(user))]) {
      const error = await errorOf(() => path.pipeline.handle(facts))
      expect([error.code, error.retryAfterSeconds]).toEqual(['TENANCY_CATALOG_UNAVAILABLE', 1])
    }
    path.before = () => {}
    expect((await path.pipeline.handle(warm)).tenant?.slug).toBe('acme')
  })
})
