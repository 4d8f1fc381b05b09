import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
let owner: Caller
let tenant: Tenant

beforeAll(async () => {
  api = await createApiApp()
  owner = await api.createUser()
  tenant = await api.createTenant(owner)
})
afterAll(() => api.close())

const get = (path: string) => api.call(`GET /tenants/${tenant.id}${path}`, { as: owner })
async function pagesOf(path: string): Promise<unknown[]> {
  const all: unknown[] = []
  let after = ''
  for (;;) {
    const { json } = await get(`${path}?limit=3${after}`)
    all.push(...json.items)
    if (json.next === null) return all
    after = `&after=${encodeURIComponent(json.next)}`
  }
}

describe('what the application defines', () => {
  test('Permissions, their categories and route rules are listed whole, in pages', async () => {
    const { access } = api.tenancy
    const shown = (entries: readonly object[]) =>
      entries.map((entry) => Object.fromEntries(Object.entries(entry).filter(([name]) => name !== 'isSystem')))
    const permissions = shown(await access.listPermissions())
    expect(permissions.length).toBeGreaterThan(3)
    expect(await pagesOf('/permissions')).toEqual(permissions)
    expect((await get('/permission-categories')).json).toEqual({ items: shown(await access.listCategories()) })
    const rules = shown(await access.listRouteRules())
    expect(rules.length).toBeGreaterThan(6)
    expect(await pagesOf('/route-rules')).toEqual(rules)
  })

  test('A cursor that no page has given is refused', async () => {
    for (const after of ['x', 'bnVsbA', Buffer.from('["get","x","y"]').toString('base64url'), '%00']) {
      expect((await get(`/route-rules?after=${after}`)).status, after).toBe(400)
    }
  })
})

describe('explaining', () => {
  const explain = (body: unknown) => api.call(`POST /tenants/${tenant.slug}/access/explain`, { as: owner, body })

  test('A decision about a permission or a route comes with its reason', async () => {
    const member = await api.join(tenant, ['Member'])
    expect((await explain({ user: member.id, permission: 'members:read' })).json).toEqual({
      ...{ allowed: true, reason: 'granted' },
      permissions: [{ permission: 'members:read', state: 'granted', through: [{ roles: ['Member'], inactive: [] }] }],
    })
    const route = { user: member.id, method: 'DELETE', path: `/tenants/acme/roles/${randomUUID()}` }
    expect((await explain(route)).json).toMatchObject({
      ...{ allowed: false, reason: 'not-granted', rule: 'DELETE /tenants/{tenant}/roles/{role}' },
    })
    expect((await explain({ ...route, path: '/nowhere' })).json).toMatchObject({ reason: 'no-rule', permissions: [] })
  })

  test('Users of other tenants, disabled or not, are explained as those that do not exist', async () => {
    const stranger = await api.createUser()
    await api.createTenant(stranger)
    const disabled = await api.createUser()
    await api.tenancy.disableUser({ user: disabled.id })
    const answers = await Promise.all(
      [randomUUID(), stranger.id, disabled.id].map((user) => explain({ user, permission: 'members:read' })),
    )
    for (const { status, json } of answers) expect({ status, json }).toEqual({ status: 404, json: answers[0]?.json })
  })

  test('A question of both kinds, of half a kind or about another tenant is refused', async () => {
    const user = owner.id
    for (const body of [
      ...[{}, { user }, { user, method: 'GET' }, { user, permission: 'x:y', method: 'GET', path: '/' }],
      ...[
        { user, permission: 'x:y', tenant: 'other' },
        { user: 'me', permission: 'x:y' },
      ],
    ]) {
      expect((await explain(body)).status, JSON.stringify(body)).toBe(400)
    }
  })
})
