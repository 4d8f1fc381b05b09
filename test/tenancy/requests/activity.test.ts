import { afterAll, beforeAll, expect, test } from 'vitest'
import { runWithContext } from '../../../src/core/context/request-scope.js'
import type { Tenancy, Tenant, User } from '../../../src/index.js'
import { createTestTenancies, type TestTenancies } from '../../support/tenancy.js'

let tenancies: TestTenancies
let tenancy: Tenancy
let acme: Tenant
let other: Tenant

beforeAll(async () => {
  tenancies = await createTestTenancies()
  tenancy = await tenancies.open()
  ;[acme, other] = (await tenancies.createTenants(tenancy, 2)) as [Tenant, Tenant]
})
afterAll(() => tenancies.drop())

const asUser = <Result>(id: string, tenant: Tenant, callback: () => Result): Result =>
  runWithContext(
    { user: { id } as User, tenant, membership: undefined, access: undefined, token: undefined, pool: undefined },
    callback,
  )
const alice = '00000000-0000-7000-8000-00000000000a'
const of = async (tenant: Tenant, withQueries = false) =>
  (await tenancy.activity({ withQueries })).filter(({ tenantId }) => tenantId === tenant.id)

test('a backend is mapped to its tenant and to the user whose request holds its connection', async () => {
  const client = await asUser(alice, acme, () => tenancy.getTenantPool(acme).connect())
  const { rows } = await client
    .query('begin; select pg_backend_pid() as pid')
    .then((results) => (results as never)[1] as { rows: { pid: number }[] })
  const held = (await of(acme)).find(({ pid }) => pid === rows[0]!.pid)
  expect(held).toEqual({
    pid: rows[0]!.pid,
    databaseId: acme.databaseId,
    tenantId: acme.id,
    slug: acme.slug,
    state: 'idle in transaction',
    waitsFor: 'Client: ClientRead',
    queryMs: null,
    transactionMs: expect.any(Number),
    connectedMs: expect.any(Number),
    userId: alice,
  })
  await client.query('rollback')
  client.release()
  expect((await of(acme)).map(({ userId }) => userId)).not.toContain(alice)
})

test('a query of the pool shows who sent it while it runs, its duration, and its text only on request', async () => {
  const running = asUser(alice, other, () => tenancy.getTenantPool(other).query('select pg_sleep(60)'))
  const ended = running.catch((error: unknown) => error)
  const busy = async (withQueries = false) =>
    (await of(other, withQueries)).find(({ state, userId }) => state === 'active' && userId === alice)
  await expect
    .poll(() => busy())
    .toMatchObject({ slug: other.slug, waitsFor: 'Timeout: PgSleep', queryMs: expect.any(Number) })
  expect(await busy()).not.toHaveProperty('query')
  const shown = await busy(true)
  expect(shown).toMatchObject({ query: 'select pg_sleep(60)' })
  const { withAdmin } = await import('../../support/server.js')
  await withAdmin((admin) => admin.query('select pg_cancel_backend($1)', [shown!.pid]))
  await expect(ended).resolves.toBeInstanceOf(Error)
})

test('a connection of an unknown user or of another process has a tenant and no user', async () => {
  const process = await tenancies.open()
  const client = await process.getTenantPool(acme).connect()
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  const shown = (await tenancy.activity()).find(({ pid }) => pid === rows[0]!.pid)
  expect(shown).toMatchObject({ slug: acme.slug, state: 'idle', userId: undefined })
  client.release()
})
