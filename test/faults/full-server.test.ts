import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.js'
import { runCommandLine } from '../support/processes/command-line.js'
import { type CrowdedServer, type Filling, startCrowdedServer } from './crowded-server.js'

const count = 2
let server: CrowdedServer
let folder: string
let tenancy: Tenancy

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-full-'))
  for (const part of ['schema', 'seeds']) await mkdir(join(folder, part))
  await writeFile(join(folder, 'schema/0001_items.sql'), 'create table items (id int)')
  await writeFile(join(folder, 'seeds/0001_item.sql'), 'insert into items values (1)')
  server = await startCrowdedServer({
    TENANT_SCHEMA_DIR: join(folder, 'schema'),
    TENANT_SEED_DIR: join(folder, 'seeds'),
  })
  tenancy = await server.open()
  await server.createTenants(tenancy, count)
  await work()
})
afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true })
})

/** Runs everything that goes over the fleet at once: its reports, or its errors. */
async function work() {
  const [exec, seed, check, migrate] = await Promise.allSettled([
    tenancy.fleet.exec({ sql: 'select count(*) from items' }),
    tenancy.fleet.seed(),
    tenancy.fleet.check(),
    tenancy.fleet.migrate({ verify: true }),
  ])
  return { exec, seed, check, migrate }
}

const fulfilled = (value: object) => ({ status: 'fulfilled', value })
const succeeded = {
  exec: fulfilled({ done: count, failed: 0, remaining: 0 }),
  seed: fulfilled({ seeded: count, failed: 0, remaining: 0 }),
  check: fulfilled({ same: count, failed: 0 }),
  migrate: fulfilled({ current: count, failed: 0, remaining: 0 }),
}

async function whileFull<Result>(during: (crowd: Filling) => Promise<Result>): Promise<Result> {
  const crowd = await server.fill()
  try {
    return await during(crowd)
  } finally {
    await crowd.release()
  }
}

test('A server that is full for a second fails no tenant of any run', async () => {
  const working = whileFull(async () => {
    const started = work()
    await sleep(1000)
    return { started }
  })
  const outcomes = await (await working).started
  for (const [name, outcome] of Object.entries(outcomes)) {
    // Of the catalog's connections one may have been idle for so long that it was closed: then a run cannot even begin.
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
    else expect(outcome).toMatchObject(succeeded[name as keyof typeof succeeded])
  }
  expect(await work()).toMatchObject(succeeded)
  expect(await tenancy.fleet.status()).toMatchObject({ behind: 0, failed: 0, tenantsFailed: [] })
})

test('A server that stays full fails each tenant with a code, or the run, and the status needs none of it', async () => {
  const { outcomes, status } = await whileFull(async () => ({
    outcomes: await work(),
    status: await tenancy.fleet.status(),
  }))
  expect(status).toMatchObject({ version: 1, behind: 0 })
  const failure = { error: { code: 'TENANCY_DATABASE_UNAVAILABLE', retryAfterSeconds: 1 } }
  const failures = Array.from({ length: count }, () => failure)
  expect(outcomes).toMatchObject({
    exec: fulfilled({ done: 0, failed: count, failures }),
    seed: fulfilled({ seeded: 0, failed: count, failures }),
    check: { status: 'rejected', reason: { code: 'TENANCY_DATABASE_UNAVAILABLE' } },
    migrate: fulfilled({ current: 0, failed: count, failures }),
  })
  // As soon as there is room all of it works again, and nothing is said to have failed.
  expect(await work()).toMatchObject(succeeded)
  expect(await tenancy.fleet.status()).toMatchObject({ failed: 0, tenantsFailed: [] })
})

test('A command that begins on a full server ends with a code, and does nothing', async () => {
  for (const words of [
    ['migrate', 'status'],
    ['migrate', 'up'],
    ['fleet', 'exec', 'select 1'],
    ['fleet', 'check'],
  ]) {
    const { code, stdout, stderr } = await whileFull(() => runCommandLine(words, { env: server.env, cwd: folder }))
    expect([code, stdout], stderr).toEqual([5, ''])
    expect(stderr).toContain('TENANCY_CATALOG_UNAVAILABLE')
    expect(stderr).not.toContain('    at ')
  }
})
