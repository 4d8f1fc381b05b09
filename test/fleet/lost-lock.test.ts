import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createInstallation, type Installation } from '../support/installation.js'
import { withAdmin } from '../support/server.js'

let installation: Installation
let folder: string
let database: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-lost-lock-'))
  await writeFile(join(folder, '0001_log.sql'), 'create table log (step text)')
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder })
  const older = await installation.open()
  const owner = (await older.createUser({ email: 'owner@example.com', emailVerified: true })).id
  const tenant = await older.createTenant({ name: 'Acme', slug: 'acme', owner })
  database = `${installation.prefix}${tenant.databaseId?.replaceAll('-', '')}`
}, 60_000)
afterAll(async () => {
  await installation.drop()
  await rm(folder, { recursive: true })
})

const inTenant = (sql: string) => withAdmin(async (admin) => (await admin.query(sql)).rows, database)

/** Ends the connection on which the runners of the installation hold their locks. */
const endLockKeepers = () =>
  withAdmin((admin) =>
    admin
      .query(
        `select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid)
          where locktype = 'advisory' and datname = $1`,
        [installation.catalogName],
      )
      .then(({ rowCount }) => rowCount),
  )

test('A runner that has lost its lock, and the one that gets it, never run a file without a transaction twice', async () => {
  await writeFile(
    join(folder, '0002_slow.sql'),
    "-- no-transaction\ninsert into log values ('begin'); select pg_sleep(2); insert into log values ('end');",
  )
  const [one, two] = await Promise.all([installation.open(), installation.open()])
  const first = one.fleet.migrate()
  await vi.waitFor(async () => expect(await inTenant('select step from log')).toEqual([{ step: 'begin' }]), {
    timeout: 30_000,
    interval: 20,
  })
  expect(await endLockKeepers()).toBeGreaterThan(0)
  const second = await two.fleet.migrate()
  expect(second).toMatchObject({ failed: 0 })
  expect(await first).toMatchObject({ failed: 0 })
  expect(await inTenant('select step from log')).toEqual([{ step: 'begin' }, { step: 'end' }])
  expect(await inTenant('select version from tenants2fast.schema_migrations order by 1')).toHaveLength(2)
}, 60_000)
