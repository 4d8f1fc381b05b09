import { randomUUID } from 'node:crypto'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenancy, User } from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { withAdmin } from '../../support/server.js'
import { noOrigin } from '../../support/no-origin.js'

let installation: Installation
let tenancy: Tenancy
let dana: User
let max: User

beforeAll(async () => {
  installation = createInstallation()
  tenancy = await installation.open()
  dana = await tenancy.createUser({ email: 'dana@example.com', emailVerified: true })
  max = await tenancy.createUser({ email: 'max@example.com', emailVerified: true })
})
afterAll(() => installation.drop())

const issuedEntries = async () =>
  (await tenancy.audit.list({ tenant: null, limit: 1000 })).filter(({ action }) => action === 'token.issue')

describe('a token that is issued', () => {
  test('issuing a token writes an audit entry with its user, actor, tenant and id, and no part of the token', async () => {
    const plain = await tenancy.issueAccessToken({ user: max.id })
    const { id } = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: max.id })
    const bound = await tenancy.issueAccessToken({ user: max.id, tenant: 'acme', actor: dana.id })
    expect(decodeJwt(bound.token)['tenant']).toBe(id)
    expect(plain.tokenId).toBe(decodeJwt(plain.token).jti)
    expect((await issuedEntries()).map(({ seq: _seq, at: _at, ...entry }) => entry)).toEqual([
      {
        actorId: null,
        tenantId: null,
        action: 'token.issue',
        subject: `user:${max.id}`,
        before: null,
        after: { jti: plain.tokenId, tenant: null, expiresIn: plain.expiresIn },
        operator: null,
        apiKey: null,
        ...noOrigin,
      },
      {
        actorId: dana.id,
        tenantId: null,
        action: 'token.issue',
        subject: `user:${max.id}`,
        before: null,
        after: { jti: bound.tokenId, tenant: id, expiresIn: bound.expiresIn },
        operator: null,
        apiKey: null,
        ...noOrigin,
      },
    ])
    const text = JSON.stringify(await issuedEntries())
    for (const part of [...plain.token.split('.'), ...bound.token.split('.')]) expect(text).not.toContain(part)
    expect(await tenancy.audit.verify()).toMatchObject({ isIntact: true })
  })

  test('a token for an unknown user or by an actor who is no user is not issued and not audited', async () => {
    const before = await issuedEntries()
    await expect(tenancy.issueAccessToken({ user: randomUUID() })).rejects.toMatchObject({
      code: 'TENANCY_USER_NOT_FOUND',
    })
    await expect(tenancy.issueAccessToken({ user: max.id, actor: 'dana' })).rejects.toMatchObject({
      code: 'TENANCY_REQUEST_INVALID',
    })
    expect(await issuedEntries()).toEqual(before)
  })

  test('a token for text that cannot be a tenant is not issued and not audited', async () => {
    const before = await issuedEntries()
    const rubbish: unknown[] = ['', 'ACME', ' acme', 'acme ', 'a\0b', '../x', '\0', '\uD800', 'No tenant', 'admin']
    rubbish.push('no-such-tenant', 'x'.repeat(10_000), randomUUID().toUpperCase(), null, 7, ['acme'])
    for (const tenant of rubbish) {
      const code = typeof tenant === 'string' ? 'TENANCY_TENANT_NOT_FOUND' : 'TENANCY_REQUEST_INVALID'
      await expect(tenancy.issueAccessToken({ user: max.id, tenant: tenant as string })).rejects.toMatchObject({ code })
    }
    expect(await issuedEntries()).toEqual(before)
    await expect(tenancy.issueAccessToken({ user: max.id, tenant: randomUUID() })).resolves.toBeDefined()
  })

  test('a token that cannot be audited is not issued', async () => {
    const inCatalog = (text: string) => withAdmin((admin) => admin.query(text), installation.catalogName)
    await inCatalog(
      "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'full'; end $$",
    )
    await inCatalog('create trigger refuse before insert on audit_log for each row execute function refuse()')
    try {
      await expect(tenancy.issueAccessToken({ user: max.id })).rejects.toMatchObject({
        code: 'TENANCY_CATALOG_UNAVAILABLE',
      })
    } finally {
      await inCatalog('drop trigger refuse on audit_log; drop function refuse()')
    }
    await tenancy.issueAccessToken({ user: max.id })
  })

  test('a token from a login has an audit entry, and its refreshes have none', async () => {
    const host = tenancy.accountsHost()
    const before = (await issuedEntries()).length
    await host.issueAccessToken({ user: max.id })
    expect(await issuedEntries()).toHaveLength(before + 1)
    for (let round = 0; round < 3; round += 1) await host.issueAccessToken({ user: max.id, isRefresh: true })
    expect(await issuedEntries()).toHaveLength(before + 1)
  })

  test('tokens that are issued at once have an audit entry each', async () => {
    const before = (await issuedEntries()).length
    const tokens = await Promise.all(Array.from({ length: 30 }, () => tenancy.issueAccessToken({ user: max.id })))
    const ids = (await issuedEntries()).slice(before).map(({ after }) => (after as { jti: string }).jti)
    expect(ids.toSorted()).toEqual(tokens.map(({ tokenId }) => tokenId).toSorted())
    expect(await tenancy.audit.verify()).toMatchObject({ isIntact: true })
  })
})

test('a purged tenant’s chain that an administrator deletes with its head is reported when the whole installation is verified', async () => {
  const tenant = await tenancy.createTenant({ name: 'Gone', slug: 'gone', owner: dana.id })
  await tenancy.deleteTenant({ tenant: 'gone' })
  await tenancy.purgeTenant({ tenant: 'gone' })
  await expect.poll(() => tenancy.findTenant(tenant.id)).toBeUndefined()
  const entries = await tenancy.audit.list({ tenant: tenant.id })
  expect(entries.at(-1)?.action).toBe('tenant.dropped')
  const anchor = (await tenancy.audit.list({ tenant: null, limit: 1000 })).findLast(
    ({ action, subject }) => action === 'audit.anchor' && subject === `tenant:${tenant.id}`,
  )
  expect(anchor?.after).toMatchObject({ length: entries.length })
  await withAdmin(async (admin) => {
    await admin.query('begin; set local session_replication_role = replica')
    await admin.query('delete from audit_log where tenant_id = $1', [tenant.id])
    await admin.query('delete from audit_chains where chain_id = $1', [tenant.id])
    await admin.query('commit')
  }, installation.catalogName)
  expect(await tenancy.audit.verify()).toMatchObject({
    isIntact: false,
    problems: [{ tenantId: tenant.id, seq: 1, entryId: null, kind: 'truncated' }],
  })
})
