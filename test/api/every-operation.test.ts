import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Operation } from '../../src/api/operation.js'
import { operations as ofTenantsAndUsers, platformOperations } from '../../src/api/operations/index.js'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'
import { told } from './generated/world.js'

// What holds for every operation, those to come included: the list is that of the product.

let api: ApiApp
let owner: Caller
let stranger: Caller
let tenant: Tenant
let foreign: Tenant
let nobody: Caller
let administrator: Caller & { readonly accessToken: string }
/** API keys of the tenant: with all permissions that a key may have, and with none. */
let wholeKey: Caller
let emptyKey: Caller
/** The administrator, acting as the owner of the tenant. */
let impersonator: Caller

beforeAll(async () => {
  // Settings, so that a body for them can be wrong.
  api = await createApiApp(undefined, {}, { tenantSettings: z.object({ theme: z.string().default('light') }) })
  owner = await api.createUser()
  stranger = await api.createUser()
  tenant = await api.createTenant(owner)
  foreign = await api.createTenant(stranger)
  nobody = await api.join(tenant, [])
  administrator = await api.createAdministrator()
  wholeKey = await createKey(tenant, owner, permissionsOfKeys)
  emptyKey = await createKey(tenant, owner, [])
  const { token } = await api.tenancy.startImpersonation({
    ...{ tenant: tenant.id, user: owner.id, reason: 'Every operation', minutes: 60, actor: administrator.id },
  })
  impersonator = { id: owner.id, token }
})
afterAll(() => api.close())

async function createKey(of: Tenant, actor: Caller, permissions: readonly string[]): Promise<Caller> {
  const given = { tenant: of.id, actor: actor.id, name: `Key ${randomUUID()}` }
  const { id: serviceAccount } = await api.tenancy.createServiceAccount(given)
  const { apiKey, key } = await api.tenancy.createApiKey({ ...given, serviceAccount, permissions })
  return { id: apiKey.id, token: key }
}

/** A path of the operation in that tenant; every other parameter is an id that nothing has. */
function targetOf({ method, path }: Operation, tenantRef: string): string {
  const other = randomUUID()
  const concrete = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => (name === 'tenant' ? tenantRef : other))
  return `${method.toUpperCase()} ${concrete}`
}
const operations = [...ofTenantsAndUsers, ...platformOperations]
const isOfPlatform = ({ access }: Operation) => 'platform' in access
/** Somebody who may call the operation, as far as it depends on what kind of token they have. */
const callerOf = (operation: Operation) => (isOfPlatform(operation) ? administrator : owner)
const ofTenants = operations.filter((operation) => operation.path.includes('{tenant}') && !isOfPlatform(operation))
const guarded = operations.filter(({ access }) => 'permission' in access)
/** Docs/api-keys.md says why no key has them. */
const noKeyHas =
  /^(keys:.*|members:(create|update|delete)|domains:(create|update|delete)|roles:manage|tenant:(delete|export))$/
const permissionsOfKeys = [
  ...new Set(guarded.flatMap(({ access }) => ('permission' in access ? [access.permission] : []))),
].filter((permission) => !noKeyHas.test(permission))
const body = (operation: Operation) => (operation.body === undefined ? {} : { body: {} })

describe.each(operations.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  '%s',
  (_, operation) => {
    test('An anonymous request and one with a bad token are refused, whatever they carry', async () => {
      const target = targetOf(operation, tenant.id)
      const anonymous = await api.call(target, body(operation))
      if ('anyone' in operation.access) {
        expect(anonymous.status).not.toBe(401)
        return
      }
      expect(anonymous).toMatchObject({ status: 401, json: { code: 'TENANCY_AUTH_REQUIRED' } })
      const { id, token } = callerOf(operation)
      const forged = await api.call(target, { ...body(operation), as: { id, token: `${token}x` } })
      expect(forged).toMatchObject({ status: 401, json: { code: 'TENANCY_AUTH_TOKEN_INVALID' } })
    })

    test('A body that is not as the document says is refused, and so is a field of the query', async () => {
      const target = targetOf(operation, tenant.id)
      // The body of a GET means nothing (RFC 9110, 9.3.1), and Fastify does not read it.
      if (operation.method !== 'get') {
        const answer = await api.call(target, { as: callerOf(operation), body: { '\u0000surprise': 1 } })
        expect(answer.status).toBe(400)
      }
      const query = await api.call(`${target}?surprise=1`, { as: callerOf(operation), ...body(operation) })
      expect(query.status).toBe(400)
    })

    test('A token for the other audience is refused: the platform’s on the tenants’ side, any other on the platform’s', async () => {
      // It reads no token at all.
      if ('anyone' in operation.access) return
      const target = targetOf(operation, tenant.id)
      const { token } = await api.tenancy.issueAccessToken({ user: administrator.id, tenant: tenant.id })
      const others = isOfPlatform(operation)
        ? [owner, nobody, { id: administrator.id, token: administrator.accessToken }, { id: administrator.id, token }]
        : [administrator]
      for (const as of others) {
        const answer = await api.call(target, { ...body(operation), as })
        expect(answer).toMatchObject({ status: 401, json: { code: 'TENANCY_AUTH_TOKEN_INVALID' } })
      }
    })
  },
)

describe.each(ofTenants.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  'in another tenant: %s',
  (_, operation) => {
    test('The tenant of others answers exactly as one that does not exist', async () => {
      const send = (ref: string) => api.call(targetOf(operation, ref), { as: owner, ...body(operation) })
      const missing = await send(randomUUID())
      for (const answer of [await send(foreign.id), await send(foreign.slug)]) {
        expect(told(answer)).toEqual(told(missing))
        expect(answer.status).toBeGreaterThanOrEqual(400)
      }
    })

    test('A header that names another tenant than the path is refused', async () => {
      const answer = await api.call(targetOf(operation, tenant.id), {
        ...{ as: owner, ...body(operation) },
        headers: { 'x-tenant-id': foreign.id },
      })
      expect(answer.status).toBe(403)
    })
  },
)

describe.each(guarded.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  'without the permission: %s',
  (_, operation) => {
    test('A member who holds nothing is refused before the request is looked at', async () => {
      const answer = await api.call(targetOf(operation, tenant.id), { as: nobody, body: { surprise: 1 } })
      expect(answer).toMatchObject({ status: 403, json: { code: 'TENANCY_ACCESS_DENIED' } })
    })
  },
)

describe.each(operations.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  'with an API key: %s',
  (_, operation) => {
    test('It is served where a permission is asked for that the key has, as a member is, and nowhere else', async () => {
      const { access } = operation
      if ('anyone' in access) return
      const target = targetOf(operation, tenant.id)
      const send = (as: Caller) => api.call(target, { as, ...body(operation) })
      const answer = await send(wholeKey)
      if ('platform' in access) {
        expect(answer).toMatchObject({ status: 401, json: { code: 'TENANCY_AUTH_TOKEN_INVALID' } })
      } else if (!('permission' in access)) {
        expect(answer).toMatchObject({ status: 403, json: { code: 'TENANCY_AUTH_PERSON_REQUIRED' } })
      } else if (noKeyHas.test(access.permission)) {
        expect(answer).toMatchObject({ status: 403, json: { code: 'TENANCY_ACCESS_DENIED' } })
      } else {
        const { status, json } = await send(owner)
        expect({ status: answer.status, code: answer.json?.code }).toEqual({ status, code: json?.code })
        expect(await send(emptyKey)).toMatchObject({ status: 403, json: { code: 'TENANCY_ACCESS_DENIED' } })
      }
    })

    test('In another tenant it answers as in one that does not exist', async () => {
      if (!operation.path.includes('{tenant}') || isOfPlatform(operation)) return
      const send = async (ref: string) => {
        const answer = await api.call(targetOf(operation, ref), { as: wholeKey, ...body(operation) })
        expect(answer).toMatchObject({ status: 403, json: { code: 'TENANCY_TENANT_FORBIDDEN' } })
        return told(answer)
      }
      const missing = await send(randomUUID())
      expect([await send(foreign.id), await send(foreign.slug)]).toEqual([missing, missing])
    })
  },
)

/** What an administrator may call as the member whom they act as. A new operation is not among them unless somebody says so here. */
const whileImpersonating = [
  ...[
    'listAuditEntries',
    'exportAuditEntries',
    'verifyAudit',
    'listApiKeys',
    'listServiceAccounts',
    'listInvitations',
    'withdrawInvitation',
  ],
  ...['listOwnPermissions', 'listMembers', 'getMember', 'getOwnMembership', 'updateMember', 'getOwnershipOffer'],
  ...[
    'getPermission',
    'listMemberPermissions',
    'listPermissions',
    'listPermissionCategories',
    'listRouteRules',
    'explainAccess',
    'listRoles',
    'getRole',
  ],
  ...[
    'listOverrides',
    'getTenantSettings',
    'updateTenantSettings',
    'listDomains',
    'listEmailDomains',
    'getTenant',
    'updateTenant',
  ],
]

describe.each(operations.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  'by an administrator who acts as the owner: %s',
  (_, operation) => {
    test('It is refused, unless its definition says otherwise: then it is served as the owner is', async () => {
      const { access, id } = operation
      if ('anyone' in access) return
      const target = targetOf(operation, tenant.id)
      const headers = { 'x-tenant-id': tenant.id }
      const send = (as: Caller) => api.call(target, { as, ...body(operation), headers })
      const answer = await send(impersonator)
      if ('platform' in access) {
        expect(answer).toMatchObject({ status: 401, json: { code: 'TENANCY_AUTH_TOKEN_INVALID' } })
      } else if ('everyUser' in access) {
        expect(answer).toMatchObject({ status: 403, json: { code: 'TENANCY_AUTH_TOKEN_BOUND' } })
      } else if (whileImpersonating.includes(id)) {
        const { status, json } = await send(owner)
        expect({ status: answer.status, code: answer.json?.code }).toEqual({ status, code: json?.code })
      } else {
        expect(answer).toMatchObject({ status: 403, json: { code: 'TENANCY_IMPERSONATION_REFUSED' } })
      }
    })

    test('In another tenant it answers as in one that does not exist', async () => {
      if (!operation.path.includes('{tenant}') || isOfPlatform(operation)) return
      const send = async (ref: string) => {
        const { status, json } = await api.call(targetOf(operation, ref), { as: impersonator, ...body(operation) })
        return { status, json }
      }
      const missing = await send(randomUUID())
      expect(missing.status).toBe(403)
      expect([await send(foreign.id), await send(foreign.slug)]).toEqual([missing, missing])
    })
  },
)

test('In a suspended tenant every operation of it is refused', async () => {
  const mine = await api.createTenant(owner)
  const key = await createKey(mine, owner, permissionsOfKeys)
  await api.tenancy.suspendTenant({ tenant: mine.id })
  for (const operation of ofTenants) {
    for (const as of [owner, key]) {
      const answer = await api.call(targetOf(operation, mine.id), { as, ...body(operation) })
      expect(answer, operation.id).toMatchObject({ status: 403, json: { code: 'TENANCY_TENANT_SUSPENDED' } })
    }
  }
})

test('Another method on a path is refused with those that are allowed', async () => {
  const answer = await api.app.inject({ method: 'DELETE', url: '/me/tenants' })
  expect([answer.statusCode, answer.headers.allow]).toEqual([405, 'GET, HEAD, OPTIONS'])
})
