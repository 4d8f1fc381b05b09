import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, type MockInstance, test, vi } from 'vitest'
import type { Tenant } from '../../../src/index.js'
import type { Caller } from '../api-app.js'
import { prepare } from './fixtures.js'
import { createWorld, isOfPlatform, nameOf, ofTenants, operations, type Scene, told, type World } from './world.js'

// Every operation, by callers who could once, or can elsewhere. every-operation.test.ts has those who never could.

let world: World
let scene: Scene
/** Of the same owner as the tenant of the scene. */
let second: Tenant
let deleted: Tenant
let foreign: Tenant
const ended: Record<string, Caller> = {}
const keys: Record<string, Caller> = {}
const ofDeletedTenant = 'of a tenant that is deleted'
let unchanged: string

const authenticated = operations.filter(({ access }) => !('anyone' in access))
const ofAdministrators = authenticated.filter(isOfPlatform)
const ofPeople = authenticated.filter((operation) => !isOfPlatform(operation))
const named = (list: typeof operations) => list.map((operation) => [nameOf(operation), operation] as const)

const now = Date.now.bind(Date)
/** What the parts take as their clock when they are made. */
let clock: MockInstance<typeof Date.now>

beforeAll(async () => {
  clock = vi.spyOn(Date, 'now')
  world = await createWorld()
  scene = await world.createScene()
  foreign = (await world.createScene('foreign')).tenant
  const { api } = world
  const { tenancy } = api
  const { tenant, owner } = scene
  second = await api.createTenant(owner)
  deleted = await api.createTenant(owner)
  await tenancy.deleteTenant({ tenant: deleted.id })

  const person = async (name: string, roles: readonly string[] = ['Owner']) =>
    (ended[name] = await api.join(tenant, roles))
  await tenancy.disableUser({ user: (await person('disabled')).id })
  await tenancy.revokeUserTokens({ user: (await person('logged out')).id })
  await tenancy.deleteUser({ user: (await person('erased')).id })
  await tenancy.removeMember({ tenant: tenant.id, user: (await person('removed')).id })
  await tenancy.setMemberActive({ tenant: tenant.id, user: (await person('deactivated')).id, isActive: false })
  const elsewhere = await tenancy.issueAccessToken({ user: owner.id, tenant: second.id })
  ended['bound elsewhere'] = { id: owner.id, token: elsewhere.token }
  const demoted = await person('demoted')
  await tenancy.access.setMemberRoles({ tenant: tenant.id, user: demoted.id, roles: [] })

  const end = async (name: string, how: (id: string) => Promise<unknown>) => {
    ended[name] = await api.createAdministrator()
    await how(ended[name].id)
  }
  await end('administrator, revoked', (user) => tenancy.revokePlatformRole({ user }))
  await end('administrator, disabled', (user) => tenancy.disableUser({ user }))
  await end('administrator, logged out', (user) => tenancy.revokeUserTokens({ user }))
  await end('administrator, erased', (user) => tenancy.deleteUser({ user }))

  const of = { tenant: tenant.id, actor: owner.id }
  const permissions = ['tenant:read', 'members:read', 'roles:read', 'audit:read', 'tenant:update']
  const makeKey = async (name: string, serviceAccount: string, place = of) => {
    const made = await tenancy.createApiKey({ ...place, serviceAccount, name, permissions })
    return (keys[name] = { id: made.apiKey.id, token: made.key })
  }
  const account = async (name: string, place = of) => (await tenancy.createServiceAccount({ ...place, name })).id
  const first = await account('first')
  await tenancy.revokeApiKey({ ...of, apiKey: (await makeKey('revoked', first)).id })
  const expired = await makeKey('expired', first)
  await world.query("update api_keys set expires_at = now() - interval '1 second' where id = $1", [expired.id])
  const rotated = await makeKey('rotated', first)
  await tenancy.rotateApiKey({ ...of, apiKey: rotated.id, overlapSeconds: 0 })
  const off = await account('off')
  await makeKey('of an account that is off', off)
  await tenancy.updateServiceAccount({ ...of, serviceAccount: off, isActive: false })
  const gone = await account('gone')
  await makeKey('of an account that is deleted', gone)
  await tenancy.deleteServiceAccount({ ...of, serviceAccount: gone })
  const closed = await api.createTenant(owner)
  const place = { tenant: closed.id, actor: owner.id }
  await makeKey(ofDeletedTenant, await account('theirs', place), place)
  await tenancy.deleteTenant({ tenant: closed.id })

  unchanged = await world.fingerprint()
}, 60_000)
afterAll(async () => {
  await world.close()
  clock.mockRestore()
})
afterEach(async () => {
  // Whoever is refused has changed nothing.
  expect(await world.fingerprint()).toBe(unchanged)
})

/** Runs `work` an hour from now: tokens live 15 minutes at most, and those of the platform ten. */
async function anHourLater<Result>(work: () => Promise<Result>): Promise<Result> {
  clock.mockImplementation(() => now() + 3_600_000)
  try {
    return await work()
  } finally {
    clock.mockImplementation(now)
  }
}

const invalid = { status: 401, json: { code: 'TENANCY_AUTH_TOKEN_INVALID' } }
const refusedUser = { status: 401, json: { code: 'TENANCY_AUTH_USER_REFUSED' } }
const callerOf = (name: string): Caller => ended[name] ?? keys[name] ?? expect.fail(`nobody is ${name}`)

describe.each(named(ofPeople))('%s', (_, operation) => {
  test('A person who has ended answers as the end says', async () => {
    const { send } = await prepare(world, operation, scene)
    expect(await send({ as: callerOf('disabled') })).toMatchObject(refusedUser)
    expect(await send({ as: callerOf('logged out') })).toMatchObject(invalid)
    expect((await send({ as: callerOf('erased') })).status).toBe(401)
  })

  test('A token that is over is refused', async () => {
    const { send } = await prepare(world, operation, scene)
    expect(await anHourLater(() => send())).toMatchObject(invalid)
  })

  test('An API key that has ended is refused wherever it is sent', async () => {
    const { send } = await prepare(world, operation, scene)
    const answers = new Map<string, unknown>()
    // It is a key of another tenant, whatever has become of that one.
    expect((await send({ as: callerOf(ofDeletedTenant) })).status).toBe(403)
    for (const [name, as] of Object.entries(keys)) {
      if (name === ofDeletedTenant) continue
      const answer = await send({ as })
      expect(answer.status, name).toBe(401)
      answers.set(name, told(answer))
    }
    // The answer does not say how it ended, nor whether there was one.
    const { token } = callerOf('revoked')
    const unknown = told(await send({ as: { id: '', token: `${token.slice(0, -6)}AAAAAA` } }))
    for (const [name, answer] of answers) expect(answer, name).toEqual(unknown)
  })
})

describe.each(named(ofAdministrators))('%s', (_, operation) => {
  test('An administrator who has ended is refused', async () => {
    const { send } = await prepare(world, operation, scene)
    const { status, json } = await send({ as: callerOf('administrator, revoked') })
    expect({ status, json }).toMatchObject(invalid)
    expect(await send({ as: callerOf('administrator, disabled') })).toMatchObject(refusedUser)
    expect(await send({ as: callerOf('administrator, logged out') })).toMatchObject(invalid)
    expect((await send({ as: callerOf('administrator, erased') })).status).toBe(401)
  })

  test('A token of the platform that is over is refused', async () => {
    const { send } = await prepare(world, operation, scene)
    expect(await anHourLater(() => send())).toMatchObject(invalid)
  })
})

describe.each(named(ofTenants))('%s', (_, operation) => {
  test('Who is no member any more gets what a tenant that does not exist gives; other tenants’ tokens are refused', async () => {
    const { send, ids } = await prepare(world, operation, scene)
    for (const name of ['removed', 'deactivated', 'bound elsewhere']) {
      const as = callerOf(name)
      const missing = told(await send({ as, ids: { ...ids, tenant: randomUUID() } }))
      const answer = await send({ as })
      expect(answer.status, name).toBe(403)
      // Members may know what they are members of.
      if (name === 'removed') expect(told(answer), name).toEqual(missing)
      const ofOthers = await send({ as, ids: { ...ids, tenant: foreign.id } })
      expect(told(ofOthers, foreign.id), name).toEqual(missing)
    }
    const { access } = operation
    if ('permission' in access) {
      expect(await send({ as: callerOf('demoted') })).toMatchObject({
        ...{ status: 403, json: { code: 'TENANCY_ACCESS_DENIED' } },
      })
    }
  })

  test('A deleted tenant serves nobody, and is for others as one that does not exist', async () => {
    const { send, ids } = await prepare(world, operation, scene)
    for (const tenant of [deleted.id, deleted.slug]) {
      expect(await send({ as: scene.owner, ids: { ...ids, tenant } })).toMatchObject({
        ...{ status: 403, json: { code: 'TENANCY_TENANT_DELETED' } },
      })
      const as = scene.member
      const sent = async (ref: string) => told(await send({ as, ids: { ...ids, tenant: ref } }), ref)
      expect(await sent(tenant)).toEqual(await sent(randomUUID()))
    }
  })
})
