import { afterEach, beforeEach, expect, test } from 'vitest'
import { withAdmin } from '../../support/server.js'
import { createInstallation, type Installation } from '../fixture.js'

let installation: Installation
beforeEach(async () => {
  installation = await createInstallation()
})
afterEach(() => installation.drop())

/** Gives every database the collation version of an earlier operating system. */
const upgradeSystem = () =>
  withAdmin((admin) =>
    admin.query(`update pg_database set datcollversion = '0.of.before' where starts_with(datname, $1)`, [
      installation.prefix,
    ]),
  )
const warnings = () => installation.log.filter((line) => line.startsWith('warn: The operating system sorts text'))
const stateOf = async (id: string | null) =>
  (await installation.catalog.pool.query('select state from tenant_databases where id = $1', [id])).rows[0]?.state

test('After an upgrade of the system a running process builds databases from a new template', async () => {
  await installation.writeSchema('0001_orders.sql', 'create table orders (name text primary key)')
  const { databases } = installation.open()
  const before = await databases.createTenantDatabase()
  await upgradeSystem()
  const built = await databases.createTenantDatabase()
  expect(built.state).toBe('ready')
  const template = `${installation.prefix}template_${await databases.templateVersion()}`
  const { rows } = await withAdmin((admin) =>
    admin.query(
      `select datcollversion is not distinct from pg_database_collation_actual_version(oid) as current
        from pg_database where datname = any($1)`,
      [[built.name, template]],
    ),
  )
  expect(rows).toEqual([{ current: true }, { current: true }])
  // A database in stock is as old as the template was: no tenant gets it.
  expect([await stateOf(before.id), await stateOf(built.id)]).toEqual(['retired', 'ready'])
  expect(warnings()).toHaveLength(1)
})

test('After an upgrade of the system a process that starts logs what has to be reindexed, and creates tenants', async () => {
  const owner = await installation.createUser()
  const { tenants } = installation.open()
  const old = await tenants.createTenant({ name: 'Old', slug: 'old-one', owner })
  await upgradeSystem()
  const { tenants: after } = installation.open()
  await expect(after.createTenant({ name: 'Acme', slug: 'acme', owner })).resolves.toMatchObject({ status: 'active' })
  expect(warnings()).toHaveLength(1)
  expect(warnings()[0]).toMatch(/REINDEX DATABASE CONCURRENTLY .* REFRESH COLLATION VERSION/)
  // The tenant keeps its database.
  expect(await stateOf(old.databaseId)).toBe('assigned')
})

test('Processes that find the template outdated at the same time make one new template', async () => {
  const opened = [installation.open({ readyTarget: 2 }), installation.open({ readyTarget: 2 })]
  await Promise.all(opened.map(({ databases }) => databases.templateVersion()))
  await upgradeSystem()
  const built = await Promise.all(
    opened.flatMap(({ databases }) => [databases.createTenantDatabase(), databases.createTenantDatabase()]),
  )
  expect(built.map(({ state }) => state)).toEqual(['ready', 'ready', 'ready', 'ready'])
  const { databases } = await installation.onServer()
  expect(databases.filter((name) => name.startsWith(`${installation.prefix}template_`))).toHaveLength(1)
})
