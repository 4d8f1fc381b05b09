import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { getTenantPool } from '../../src/core/context/current.js'
import { quoteIdentifier } from '../../src/postgres/text/quote.js'
import { withAdmin } from '../support/server.js'
import { endConnections, openInstallation, type TestInstallation, type TestTenant } from './installation.js'

let installation: TestInstallation
let acme: TestTenant
let globex: TestTenant
let address: string
let alarms: unknown[]
const app = Fastify()
const onAlarm = (event: unknown) => alarms.push(event)

beforeAll(async () => {
  installation = await openInstallation({
    count: 2,
    schema: 'create table notes (tenant text not null)',
    seed: ({ slug }) => `insert into notes values ('${slug}')`,
  })
  ;[acme, globex] = installation.tenants as [TestTenant, TestTenant]
  await app.register(tenancyPlugin, { tenancy: installation.tenancy })
  app.post('/notes', async () => {
    const { rows } = await getTenantPool().query("insert into notes values ('written') returning tenant")
    return rows
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  address = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
})
beforeEach(() => {
  alarms = []
  subscribe('tenants2fast:connection:identity-mismatch', onAlarm)
})
afterEach(() => unsubscribe('tenants2fast:connection:identity-mismatch', onAlarm))
afterAll(async () => {
  await app.close()
  await installation?.close()
})

const post = async ({ token }: TestTenant) => {
  const response = await fetch(`${address}/notes`, { method: 'POST', headers: { authorization: `Bearer ${token}` } })
  return { status: response.status, body: await response.text() }
}
const disconnect = async () => {
  for (const tenant of installation.tenants) await endConnections(installation.tenancy, tenant)
}
const countNotes = async () => {
  const counts = await Promise.all(
    [acme, globex].map(({ account }) =>
      withAdmin(
        async (admin) => (await admin.query('select count(*)::int as n from notes')).rows[0].n as number,
        account.database,
      ),
    ),
  )
  return counts
}
const inCatalog = (text: string) => withAdmin((admin) => admin.query(text), installation.catalogDatabase)
const inAcme = (text: string) => withAdmin((admin) => admin.query(text), acme.account.database)

/** Asserts that the tenant gets 503 without the reason, that no row was written anywhere, and that an alarm was published. */
async function expectRefused(who: TestTenant) {
  alarms = []
  const before = await countNotes()
  const mismatches = installation.tenancy.stats().identityMismatches
  const answers = await Promise.all(Array.from({ length: 10 }, () => post(who)))
  for (const { status, body } of answers) {
    expect(status).toBe(503)
    expect(JSON.parse(body)).toMatchObject({ code: 'TENANCY_DATABASE_IDENTITY_MISMATCH' })
    for (const secret of [acme, globex].flatMap(({ account, tenant }) => [account.database, tenant.databaseId ?? '']))
      expect(body).not.toContain(secret)
  }
  expect(await countNotes()).toEqual(before)
  const now = installation.tenancy.stats()
  expect(now.identityMismatches - mismatches).toBeGreaterThan(0)
  expect(alarms).toHaveLength(now.identityMismatches - mismatches)
  expect(installation.tenancy.getTenantPool(who.tenant).totalCount).toBe(0)
}

test('Two databases whose names were swapped serve no request', async () => {
  expect((await post(acme)).status).toBe(200)
  await disconnect()
  const [a, b] = [quoteIdentifier(acme.account.database), quoteIdentifier(globex.account.database)]
  const swap = () =>
    withAdmin(async (admin) => {
      const between = quoteIdentifier(`${installation.prefix}between`)
      await admin.query(`alter database ${a} rename to ${between}`)
      await admin.query(`alter database ${b} rename to ${a}`)
      await admin.query(`alter database ${between} rename to ${b}`)
    })
  await swap()
  try {
    // CONNECT belongs to the database and was renamed with it.
    const refused = await post(acme)
    expect([refused.status, refused.body]).toEqual([503, expect.stringContaining('TENANCY_DATABASE_UNAVAILABLE')])
    // An operator "repairs" that, too.
    await withAdmin((admin) =>
      admin.query(`grant connect on database ${a} to ${a}; grant connect on database ${b} to ${b}`),
    )
    await expectRefused(acme)
    await expectRefused(globex)
  } finally {
    await disconnect()
    await withAdmin((admin) =>
      admin.query(`revoke connect on database ${a} from ${a}; revoke connect on database ${b} from ${b}`),
    )
    await swap()
  }
  expect((await post(acme)).status).toBe(200)
  expect((await post(globex)).status).toBe(200)
})

test('A database that was filled with another tenant’s backup serves no request', async () => {
  await disconnect()
  await inAcme(`update tenants2fast.identity set database_id = '${globex.tenant.databaseId}'`)
  await expectRefused(acme)
  await inAcme(`update tenants2fast.identity set database_id = '${acme.tenant.databaseId}'`)
  expect((await post(acme)).status).toBe(200)
})

test('A database of another epoch than the catalog’s serves no request', async () => {
  await disconnect()
  await inCatalog(`update tenant_databases set epoch = epoch + 1 where id = '${acme.tenant.databaseId}'`)
  await expectRefused(acme)
  await inAcme('update tenants2fast.identity set epoch = epoch + 1')
  expect((await post(acme)).status).toBe(200)
})

test('A database without an identity row, with two of them, or with an empty one serves no request', async () => {
  await disconnect()
  await inAcme('insert into tenants2fast.identity select * from tenants2fast.identity')
  await expectRefused(acme)
  await inAcme('update tenants2fast.identity set epoch = null, database_id = null')
  await expectRefused(acme)
  await inAcme('delete from tenants2fast.identity')
  await expectRefused(acme)
  await inAcme('insert into tenants2fast.identity values (null, null)')
  await expectRefused(acme)
  await inAcme('delete from tenants2fast.identity')
  await inAcme(`insert into tenants2fast.identity (database_id, epoch) values ('${acme.tenant.databaseId}', 2)`)
  expect((await post(acme)).status).toBe(200)
})
