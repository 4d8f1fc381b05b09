// @ts-check
import assert from 'node:assert/strict'
import Fastify from 'fastify'

/**
 * Uses all parts of the catalog that a process of one version needs: users, tenants, a request with a token, a change of
 * permissions that takes effect at once, and a revocation. Rejects when a result is wrong.
 *
 * @param {import('../../../src/index.js').Tenancy} tenancy of the version
 * @param {Pick<typeof import('../../../src/adapters/fastify/index.js'), 'tenancyPlugin' | 'requirePermission'>} plugin of the version
 * @param {string} slug of the tenant that is created
 */
export async function useVersion(tenancy, { tenancyPlugin, requirePermission }, slug) {
  const app = Fastify()
  try {
    await app.register(tenancyPlugin, { tenancy })
    app.get('/reports', { preHandler: requirePermission('/reports', 'GET') }, async (request) => ({
      email: request.user.email,
      tenant: request.tenant.slug,
      rows: (await tenancy.getTenantPool(request.tenant).query('select body from notes')).rows,
    }))
    const owner = await tenancy.createUser({ email: `owner@${slug}.example.com`, name: 'Owner', emailVerified: true })
    const member = await tenancy.createUser({
      email: `member@${slug}.example.com`,
      name: 'Member',
      emailVerified: true,
    })
    const tenant = await tenancy.createTenant({ name: slug, slug, owner: owner.id })
    await tenancy.getTenantPool(tenant).query("insert into notes (author, body) values ('nobody', $1)", [slug])
    await tenancy.addMember({ tenant: tenant.id, user: member.id })

    /** @param {string} token @param {string} [to] */
    const ask = (token, to = slug) =>
      app.inject({ url: '/reports', headers: { authorization: `Bearer ${token}`, 'x-tenant-id': to } })
    const ownerToken = (await tenancy.issueAccessToken({ user: owner.id })).token
    const memberToken = (await tenancy.issueAccessToken({ user: member.id })).token
    const answer = await ask(ownerToken)
    assert.deepEqual(
      [answer.statusCode, answer.json()],
      [200, { email: owner.email, tenant: slug, rows: [{ body: slug }] }],
    )
    assert.equal((await ask(memberToken)).statusCode, 403, 'a member without the permission')
    assert.equal((await ask(memberToken, 'no-such-tenant')).statusCode, 403, 'a member of another tenant')

    const override = { tenant: tenant.id, user: member.id, permission: 'reports:read' }
    await tenancy.access.setOverride({ ...override, effect: 'allow' })
    assert.equal((await ask(memberToken)).statusCode, 200, 'the permission was granted')
    await tenancy.access.clearOverride(override)
    assert.equal((await ask(memberToken)).statusCode, 403, 'the permission was taken away')

    await tenancy.revokeUserTokens({ user: owner.id })
    assert.equal((await ask(ownerToken)).statusCode, 401, 'the token was revoked')
    const renewed = await tenancy.issueAccessToken({ user: owner.id })
    assert.equal((await ask(renewed.token)).statusCode, 200, 'a token of after the revocation')
    await tenancy.removeMember({ tenant: tenant.id, user: member.id })
    assert.equal((await ask(memberToken)).statusCode, 403, 'a removed member')
    assert.equal((await tenancy.audit.verify()).isIntact, true, 'the audit log')
  } finally {
    await app.close()
  }
}
