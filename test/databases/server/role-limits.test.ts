import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { reconcileRoleLimits, roleConnectionLimit } from '../../../src/databases/server/role-limits.js'
import { quoteIdentifier } from '../../../src/postgres/text/quote.js'
import { withAdmin } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

let installation: Installation
const limits = () =>
  withAdmin(async (admin) => {
    const { rows } = await admin.query(
      'select rolconnlimit as limit from pg_roles where starts_with(rolname, $1) and rolcanlogin and rolname <> $2 order by rolname',
      [installation.prefix, `${installation.prefix}bystander`],
    )
    return rows.map((row) => row.limit as number)
  })
const membersOf = () => `${installation.prefix}members`

beforeAll(async () => {
  installation = await createInstallation()
})
afterAll(() => installation.drop())

test('The connection limit of a role is what all processes may open for one tenant, plus two', () => {
  expect(roleConnectionLimit(5, 1)).toBe(7)
  expect(roleConnectionLimit(5, 4)).toBe(22)
})

test('A role is built with its connection limit, and the server enforces it', async () => {
  const { databases } = installation.open({ roleConnectionLimit: 2 })
  const { account } = databases.targetOf(await databases.createTenantDatabase())
  const clients = Array.from({ length: 3 }, () => new pg.Client({ ...account, ssl: false }))
  for (const client of clients) client.on('error', () => {})
  try {
    await clients[0]?.connect()
    await clients[1]?.connect()
    await expect(clients[2]?.connect()).rejects.toMatchObject({ code: '53300' })
    // The administrator is not bound by it.
    const { rowCount } = await withAdmin((admin) => admin.query('select 1'), account.database)
    expect(rowCount).toBe(1)
  } finally {
    await Promise.all(clients.map((client) => client.end()))
  }
})

test('Another connection limit changes every role of the installation, the same limit none, and roles of others are never changed', async () => {
  const bystander = quoteIdentifier(`${installation.prefix}bystander`)
  const { databases } = installation.open({ roleConnectionLimit: 2 })
  await Promise.all([databases.createTenantDatabase(), databases.createTenantDatabase()])
  await withAdmin(async (admin) => {
    await admin.query(`create role ${bystander} login`)
    expect(await reconcileRoleLimits(admin, membersOf(), 9, '1')).toBe(3)
    expect(await limits()).toEqual([9, 9, 9])
    expect(await reconcileRoleLimits(admin, membersOf(), 9, '1')).toBe(0)
    const { rows } = await admin.query('select rolconnlimit from pg_roles where rolname = $1', [
      `${installation.prefix}bystander`,
    ])
    expect(rows).toEqual([{ rolconnlimit: -1 }])
  })
})

test('A start with another connection limit changes the existing roles', async () => {
  await installation.open({ roleConnectionLimit: 12 }).databases.templateVersion()
  expect(await limits()).toEqual([12, 12, 12])
})

test('Processes that change the connection limit at the same time, while roles are dropped, all succeed', async () => {
  const role = (index: number) => quoteIdentifier(`${installation.prefix}short_${index}`)
  await withAdmin(async (admin) => {
    for (let index = 0; index < 30; index += 1) {
      await admin.query(`create role ${role(index)} login in role ${quoteIdentifier(membersOf())}`)
    }
  })
  const change = (limit: number) => withAdmin((admin) => reconcileRoleLimits(admin, membersOf(), limit, '1'))
  const drops = withAdmin(async (admin) => {
    for (let index = 0; index < 30; index += 1) {
      // As the reconciler does: a drop that conflicts with a change is tried again.
      const drop = () => admin.query(`drop role ${role(index)}`)
      await drop().catch(drop)
    }
  })
  await Promise.all([change(20), change(21), change(22), drops])
  await change(23)
  expect(await limits()).toEqual([23, 23, 23])
})

test('Before the first template there is no group role, and no connection limit to change', async () => {
  await withAdmin(async (admin) => {
    expect(await reconcileRoleLimits(admin, `${installation.prefix}nobody`, 5, '1')).toBe(0)
    await expect(reconcileRoleLimits(admin, membersOf(), 0, '1')).rejects.toThrow(RangeError)
  })
})
