import { afterAll, beforeAll, expect, test } from 'vitest'
import { withAdmin } from '../support/server.js'
import { createTestTenancies, type TestTenancies } from '../support/tenancy.js'

let installation: TestTenancies

beforeAll(async () => {
  installation = await createTestTenancies()
})
afterAll(() => installation.drop())

const roleLimits = () =>
  withAdmin(async (admin) => {
    const { rows } = await admin.query<{ limit: number }>(
      'select distinct rolconnlimit as limit from pg_roles where starts_with(rolname, $1) and rolcanlogin',
      [installation.prefix],
    )
    return rows.map(({ limit }) => limit)
  })

const catalogBackends = () =>
  withAdmin(async (admin) => {
    const { rowCount } = await admin.query('select from pg_stat_activity where datname = $1', [
      installation.catalogName,
    ])
    return rowCount
  })

test.each([
  { TENANT_MAX_CONNECTIONS: '5000' },
  { TENANT_PROCESSES: '1000' },
  // A pooler limits tenants’ connections; those of the catalog, of LISTEN and of the builder do not pass through it.
  { TENANT_PROCESSES: '1000', TENANT_POOLER_URL: 'postgres://127.0.0.1:1' },
])('A start with %o is refused, and no connection is left open', async (env) => {
  await expect(installation.open(env)).rejects.toMatchObject({
    code: 'TENANCY_CONNECTION_BUDGET_TOO_LARGE',
    message: expect.stringContaining('max_connections'),
  })
  // A server process ends a moment after its client has.
  await expect.poll(() => catalogBackends()).toBe(0)
})

test('The connection limit of a tenant’s role covers all processes and follows the settings', async () => {
  const tenancy = await installation.open({ TENANT_MAX_TENANT_CONNECTIONS: '4', TENANT_PROCESSES: '1' })
  await installation.createTenants(tenancy, 2)
  expect(await roleLimits()).toEqual([6])
  await installation.open({ TENANT_MAX_TENANT_CONNECTIONS: '4', TENANT_PROCESSES: '2' })
  expect(await roleLimits()).toEqual([10])
})
