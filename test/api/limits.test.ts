import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiApp, createApiApp } from './api-app.js'

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
