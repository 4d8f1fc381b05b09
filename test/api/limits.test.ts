import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApi } from '../../src/api/index.js'
import type { Tenant } from '../../src/index.js'
import { type ApiApp, type Caller, createApiApp } from './api-app.js'

let api: ApiApp
beforeAll(async () => {
  api = await createApiApp({ changesPerUser: 3, changesPerTenant: 4, readsPerUser: 5 })
})
afterAll(() => api.close())

test('Changes of one user are limited in all, with the time to wait, and others go on', async () => {
  const [owner, other] = [await api.createUser(), await api.createUser()]
  const tenant = await api.createTenant(owner)
  const change = (as: typeof owner) => api.call('PUT /me/default-tenant', { as, body: { tenant: tenant.id } })
  const answers = [await change(owner), await change(owner), await change(owner), await change(owner)]
  expect(answers.map(({ status }) => status)).toEqual([204, 204, 204, 429])
  expect(answers[0]?.headers).toMatchObject({
    'ratelimit-policy': '"changes";q=3;w=60',
    ratelimit: expect.stringMatching(/^"changes";r=2;t=\d+$/) as string,
  })
  expect(Number(answers[3]?.headers['retry-after'])).toBeGreaterThan(0)
  expect(answers[3]?.json.code).toBe('TENANCY_REQUEST_TOO_MANY')
  expect((await change(other)).status).toBe(404)
})

test('Changes in one tenant are limited whoever makes them, and those of another process count', async () => {
  const owner = await api.createUser()
  const tenant = await api.createTenant(owner)
  const second = await api.join(tenant, ['Owner'])
  const target = `PATCH /tenants/${tenant.id}`
  const names = ['a', 'b', 'c', 'd', 'e']
  const statuses: number[] = []
  for (const [index, name] of names.entries()) {
    statuses.push((await api.call(target, { as: index % 2 === 0 ? owner : second, body: { name } })).status)
  }
  expect(statuses).toEqual([200, 200, 200, 200, 429])
})

test('Reads are limited as well', async () => {
  const user = await api.createUser()
  const statuses: number[] = []
  for (let index = 0; index < 6; index += 1) statuses.push((await api.call('GET /me/tenants', { as: user })).status)
  expect(statuses).toEqual([200, 200, 200, 200, 200, 429])
})

test('Refused requests count for their address, whatever their token; those of a user count for the user alone', async () => {
  const strict = await createApiApp({ strangersPerAddress: 3, changesPerUser: 3, changesPerTenant: 4, readsPerUser: 3 })
  try {
    const [owner, outsider] = [await strict.createUser(), await strict.createUser()]
    const tenant = await strict.createTenant(owner)
    // Somebody known, without a right: their own limit, and neither the tenant's nor the address's.
    const target = `PATCH /tenants/${tenant.id}`
    const refused: number[] = []
    for (let index = 0; index < 5; index += 1) {
      refused.push((await strict.call(target, { as: outsider, body: { name: 'x' } })).status)
    }
    expect(refused).toEqual([403, 403, 403, 429, 429])
    expect((await strict.call(target, { as: owner, body: { name: 'mine' } })).status).toBe(200)
    const guesses = [
      await strict.callDirectly('GET /me'),
      await strict.callDirectly('GET /me', { headers: { authorization: 'Bearer guessed' } }),
      await strict.callDirectly('GET /nothing/here'),
      await strict.callDirectly('GET /me', { headers: { authorization: 'Bearer guessed-again' } }),
    ]
    expect(guesses.map(({ status }) => status)).toEqual([401, 401, 404, 429])
    expect(Number(guesses[3]?.headers['retry-after'])).toBeGreaterThan(0)
    // The same address, with a token that is good.
    expect((await strict.callDirectly('GET /me', { as: owner })).status).toBe(200)
  } finally {
    await strict.close()
  }
})

describe('Mails with invitations', () => {
  const invite = async (app: ApiApp, as: Caller, tenant: Tenant, email: string) =>
    app.call(`POST /tenants/${tenant.id}/invitations`, { as, body: { email, roles: ['Member'] } })

  test('to one address are few, from one tenant, in all processes, with a pause between them', async () => {
    const paused = await createApiApp({ secondsBetweenInvitations: 60 })
    try {
      const owner = await paused.createUser()
      const [tenant, other] = [await paused.createTenant(owner), await paused.createTenant(owner)]
      const first = await invite(paused, owner, tenant, 'bob@example.com')
      expect(first.status).toBe(201)
      const again = await invite(paused, owner, tenant, ' BOB@example.com')
      expect([again.status, again.json.code]).toEqual([429, 'TENANCY_REQUEST_TOO_MANY'])
      expect(Number(again.headers['retry-after'])).toBeGreaterThan(0)
      const path = `POST /tenants/${tenant.id}/invitations/${first.json.id as string}/send`
      expect((await paused.call(path, { as: owner, body: {} })).status).toBe(429)
      expect((await invite(paused, owner, tenant, 'carol@example.com')).status).toBe(201)
      expect((await invite(paused, owner, other, 'bob@example.com')).status).toBe(201)
      // Another process of the installation.
      const second = createApi({ tenancy: paused.tenancy })
      const answer = await second.handle(
        new Request(`http://localhost/tenants/${tenant.id}/invitations`, {
          method: 'POST',
          headers: { authorization: `Bearer ${owner.token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ email: 'bob@example.com', roles: ['Member'] }),
        }),
        { remoteAddress: '127.0.0.1' },
      )
      expect(answer.status).toBe(429)
    } finally {
      await paused.close()
    }
  })

  test('of one invitation, to one address and of one tenant have a limit each', async () => {
    const few = await createApiApp({
      ...{ secondsBetweenInvitations: 0, sendsPerInvitation: 2, invitationsPerAddress: 4, invitationsPerTenant: 6 },
    })
    try {
      const owner = await few.createUser()
      const tenant = await few.createTenant(owner)
      const { json } = await invite(few, owner, tenant, 'bob@example.com')
      const send = async () =>
        few.call(`POST /tenants/${tenant.id}/invitations/${json.id as string}/send`, { as: owner, body: {} })
      expect([(await send()).status, (await send()).status, (await send()).status]).toEqual([200, 200, 429])
      const sameAddress = [
        await invite(few, owner, tenant, 'bob@example.com'),
        await invite(few, owner, tenant, 'bob@example.com'),
      ]
      expect(sameAddress.map(({ status }) => status)).toEqual([201, 429])
      const others: number[] = []
      for (const name of ['c', 'd', 'e']) others.push((await invite(few, owner, tenant, `${name}@example.com`)).status)
      expect(others).toEqual([201, 201, 429])
      const unknown = `POST /tenants/${tenant.id}/invitations/${tenant.id}/send`
      expect((await few.call(unknown, { as: owner, body: {} })).status).toBe(404)
    } finally {
      await few.close()
    }
  })
})

test('A body whose object has a name twice, half a surrogate pair, or __proto__ is refused', async () => {
  const owner = await api.createUser()
  const put = async (body: string) =>
    (await api.call('PUT /me/default-tenant', { as: owner, body })).json.detail as string
  expect(await put('{"tenant":"a","ten\\u0061nt":"b"}')).toBe('A field is given twice')
  expect(await put('{"tenant":"\\ud800"}')).toBe('The body has half of a surrogate pair in it')
  expect(await put('{"tenant":"a","__proto__":{}}')).toBe('No field is called __proto__')
})
