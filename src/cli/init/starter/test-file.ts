/**
 * Text of `test/app.test.js`.
 *
 * @param name of the application, a-z, 0-9 and _: the test's catalog is called after it
 */
export const testFile = (name: string) => `// @ts-check
// npm test: the application on real databases, in a catalog of the tests' own on the same server.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { createTenancy, loadConfig, readEnvironment } from 'tenants2fast'
import { access } from '../access.js'
import { createApp } from '../app.js'

const config = loadConfig({
  ...readEnvironment(),
  TENANT_CATALOG_DB: '${name}_test',
  TENANT_DB_PREFIX: '${name.slice(0, 17)}_test_',
  TENANT_READY_DATABASES: '0',
  TENANT_RETENTION_DAYS: '0',
})

/** @type {import('tenants2fast').Tenancy} */
let tenancy
/** @type {Awaited<ReturnType<typeof createApp>>} */
let app
/** @type {string[]} */
const tenants = []

before(async () => {
  tenancy = await createTenancy({ config, access })
  app = await createApp(tenancy)
})

after(async () => {
  for (const tenant of tenants) {
    await tenancy.deleteTenant({ tenant })
    await tenancy.purgeTenant({ tenant })
  }
  await app?.close()
  await tenancy?.close()
})

test('a note of one tenant is not in the other', async () => {
  const one = await createTenant()
  const other = await createTenant()
  const made = await call(one, 'POST', { body: 'Only here' })
  assert.equal(made.statusCode, 201)
  assert.deepEqual(made.json(), { id: '1', author: one.email, body: 'Only here' })
  assert.equal((await call(one, 'GET')).json().length, 1)
  assert.deepEqual((await call(other, 'GET')).json(), [])
})

test('the owner of one tenant is refused by the other', async () => {
  const one = await createTenant()
  const other = await createTenant()
  const answer = await call({ ...one, slug: other.slug }, 'GET')
  assert.equal(answer.statusCode, 403)
  assert.equal(answer.json().code, 'TENANCY_TENANT_FORBIDDEN')
})

test('a member may read notes and not write them', async () => {
  const owner = await createTenant()
  const member = await createUser()
  await tenancy.addMember({ tenant: owner.slug, user: member.id })
  assert.equal((await call({ ...member, slug: owner.slug }, 'GET')).statusCode, 200)
  assert.equal((await call({ ...member, slug: owner.slug }, 'POST', { body: 'No' })).statusCode, 403)
})

test('the management API lists the members of a tenant, for its members alone', async () => {
  const owner = await createTenant()
  const stranger = await createUser()
  const url = \`/tenants/\${owner.slug}/members\`
  const list = (/** @type {string} */ token) =>
    app.inject({ method: 'GET', url, headers: { authorization: \`Bearer \${token}\` } })
  assert.equal((await list(owner.token)).json().total, 1)
  assert.equal((await list(stranger.token)).statusCode, 403)
})

test('nobody reads notes without a token', async () => {
  const { slug } = await createTenant()
  const answer = await app.inject({ method: 'GET', url: '/notes', headers: { 'x-tenant-id': slug } })
  assert.equal(answer.statusCode, 401)
})

async function createUser() {
  const email = \`\${randomBytes(6).toString('hex')}@example.com\`
  const { id } = await tenancy.createUser({ email, name: 'Test', emailVerified: true })
  const { token } = await tenancy.issueAccessToken({ user: id })
  return { id, email, token }
}

/** A tenant, and its owner. */
async function createTenant() {
  const owner = await createUser()
  const slug = \`t-\${randomBytes(6).toString('hex')}\`
  await tenancy.createTenant({ slug, name: slug, owner: owner.id })
  tenants.push(slug)
  return { ...owner, slug }
}

/**
 * @param {{ token: string, slug: string }} caller
 * @param {'GET' | 'POST'} method
 * @param {object} [payload]
 */
function call({ token, slug }, method, payload) {
  const headers = { authorization: \`Bearer \${token}\`, 'x-tenant-id': slug }
  return app.inject({ method, url: '/notes', headers, ...(payload && { payload }) })
}
`
