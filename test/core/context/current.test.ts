import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import {
  getCurrentActor,
  getCurrentMember,
  getCurrentTenant,
  getCurrentUser,
  getTenantPool,
  tryGetCurrentActor,
  tryGetCurrentMember,
  tryGetCurrentTenant,
  tryGetCurrentUser,
  tryGetTenantPool,
} from '../../../src/core/context/current.js'
import { type RequestContext, runWithContext } from '../../../src/core/context/request-scope.js'
import type { Tenant, User } from '../../../src/core/model.js'

const anonymous: RequestContext = {
  user: undefined,
  tenant: undefined,
  membership: undefined,
  access: undefined,
  token: undefined,
  pool: undefined,
}
const user = { id: 'u1', email: 'a@b.c' } as User

test('outside of a request the getters throw TENANCY_CONTEXT_MISSING and their try twins give undefined', () => {
  for (const get of [getCurrentUser, getCurrentActor, getCurrentTenant, getCurrentMember, getTenantPool]) {
    expect(get).toThrow(expect.objectContaining({ code: 'TENANCY_CONTEXT_MISSING' }))
  }
  for (const tryGet of [
    tryGetCurrentUser,
    tryGetCurrentActor,
    tryGetCurrentTenant,
    tryGetCurrentMember,
    tryGetTenantPool,
  ]) {
    expect(tryGet()).toBeUndefined()
  }
})

test('in an anonymous request the getters throw TENANCY_AUTH_REQUIRED', () => {
  runWithContext(anonymous, () => {
    expect(getCurrentUser).toThrow(expect.objectContaining({ code: 'TENANCY_AUTH_REQUIRED' }))
    expect(getCurrentTenant).toThrow(expect.objectContaining({ code: 'TENANCY_AUTH_REQUIRED' }))
    expect(getCurrentMember).toThrow(expect.objectContaining({ code: 'TENANCY_AUTH_REQUIRED' }))
  })
})

test('in a request without a tenant the getters of tenant, member and pool throw TENANCY_TENANT_NONE', () => {
  runWithContext({ ...anonymous, user }, () => {
    expect(getCurrentUser()).toBe(user)
    expect(getCurrentTenant).toThrow(expect.objectContaining({ code: 'TENANCY_TENANT_NONE' }))
    expect(getTenantPool).toThrow(expect.objectContaining({ code: 'TENANCY_TENANT_NONE' }))
    expect(getCurrentMember).toThrow(expect.objectContaining({ code: 'TENANCY_TENANT_NONE' }))
    expect(tryGetCurrentMember()).toBeUndefined()
  })
})

test('in a request with an API key the actor is a service account, and the getters of user and member say that there is none', () => {
  const serviceAccount = {
    id: 's1',
    name: 'S',
    tenantId: 't1',
    apiKey: { id: 'k1', name: 'K', prefix: 't2f_00000000' },
  }
  const tenant = { slug: 'acme' } as Tenant
  runWithContext({ ...anonymous, serviceAccount, tenant }, () => {
    expect(getCurrentActor()).toEqual({ kind: 'serviceAccount', serviceAccount, access: undefined })
    expect(getCurrentTenant()).toBe(tenant)
    for (const get of [getCurrentUser, getCurrentMember]) {
      expect(get).toThrow(expect.objectContaining({ code: 'TENANCY_AUTH_PERSON_REQUIRED' }))
    }
    expect([tryGetCurrentUser(), tryGetCurrentMember()]).toEqual([undefined, undefined])
  })
  runWithContext({ ...anonymous, user }, () => expect(getCurrentActor()).toMatchObject({ kind: 'user', user }))
})

test('requests that are interleaved never see each other’s context', async () => {
  const seen = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      runWithContext({ ...anonymous, user, tenant: { slug: `t${index}` } as Tenant }, async () => {
        await sleep(index % 7)
        await Promise.resolve()
        return getCurrentTenant().slug
      }),
    ),
  )
  expect(seen).toEqual(Array.from({ length: 50 }, (_, index) => `t${index}`))
  expect(tryGetCurrentTenant()).toBeUndefined()
})
