import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { repository, startNode } from '../support/processes/node-process.js'

const count = 6
let installation: Installation
let folder: string
let older: Tenancy
let owner: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-during-'))
  await writeFile(join(folder, '0001_items.sql'), 'create table items (id int)')
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder })
  older = await installation.open()
  owner = (await older.createUser({ email: 'owner@example.com', emailVerified: true })).id
  for (let index = 1; index <= count; index += 1) {
    await older.createTenant({ name: 'T', slug: `tenant-${index}`, owner })
  }
}, 60_000)
afterAll(async () => {
  await installation.drop()
  await rm(folder, { recursive: true })
})

test('A tenant that is created, undeleted or reactivated while a run goes on ends at the new version', async () => {
  await older.deleteTenant({ tenant: 'tenant-5' })
  await older.suspendTenant({ tenant: 'tenant-6' })
  await writeFile(join(folder, '0002_notes.sql'), 'create table notes (id int)')
  const newer = await installation.open()
  let isFirst = true
  const report = await newer.fleet.migrate({
    parallelism: 1,
    async onResult() {
      if (!isFirst) return
      isFirst = false
      // By the previous release, which knows the first file only.
      await older.createTenant({ name: 'New', slug: 'created', owner })
      await older.undeleteTenant({ tenant: 'tenant-5' })
      await older.reactivateTenant({ tenant: 'tenant-6' })
    },
  })
  expect(report).toMatchObject({ failed: 0, remaining: 0, migrated: count + 1 })
  expect(await newer.fleet.status()).toMatchObject({ behind: 0, versions: [{ version: 2, tenants: count + 1 }] })
  await newer.close()
})

test('Whenever a runner is killed, nothing is applied twice, and the next run finishes', async () => {
  const program = `
    import { createTenancy } from ${JSON.stringify(join(repository, 'dist/index.js'))}
    const tenancy = await createTenancy()
    console.log('open')
    await tenancy.fleet.migrate()
    await tenancy.close()`
  for (let round = 3; round <= 5; round += 1) {
    // A second time, it would fail.
    const name = `000${round}_once.sql`
    await writeFile(join(folder, name), `create table once_${round} (id int); select pg_sleep(0.02)`)
    const runner = startNode([], { env: installation.env, program })
    await runner.printed('open')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 400))
    runner.kill('SIGKILL')
    await runner.ended
    const next = await installation.open()
    const report = await next.fleet.migrate()
    expect(report, JSON.stringify(report.failures.map(({ error }) => error?.message))).toMatchObject({
      ...{ failed: 0, remaining: 0, stopped: undefined },
    })
    const found = await next.fleet.exec({
      sql: 'select to_regclass($1) is not null as applied',
      params: [`once_${round}`],
      onRow: ({ row }) => expect(row).toEqual({ applied: true }),
    })
    expect(found).toMatchObject({ done: count + 1, failed: 0 })
    await next.close()
  }
})
