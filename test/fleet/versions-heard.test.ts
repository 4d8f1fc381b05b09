import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { requireSchema, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import type { Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'
import { repository, startNode } from '../support/processes/node-process.js'
import { describeWithRedis } from '../support/redis/redis.js'
import { withAdmin } from '../support/server.js'

// What a process knows of a tenant's version is as old as TENANT_MAX_STALENESS_MS allows: whichever way it hears of changes.
const first = '0001_items.sql'
const second = '0002_notes.sql'
const stalenessMs = 1000
const ways: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  listening: { TENANT_MAX_STALENESS_MS: String(stalenessMs) },
  polling: { TENANT_MAX_STALENESS_MS: String(stalenessMs), TENANT_CHANGES_BY: 'poll' },
  strict: { TENANT_MAX_STALENESS_MS: '0' },
}

let installation: Installation
let folder: string
let token: string
let apps: { way: string; app: FastifyInstance }[] = []

/** Opens an installation with a tenant at the first migration, in a folder that has the second one, too. */
async function prepare(settings: Readonly<Record<string, string>>): Promise<void> {
  folder = await mkdtemp(join(tmpdir(), 't2f-versions-'))
  await writeFile(join(folder, first), 'create table items (id int)')
  installation = createInstallation({
    ...{ TENANT_SCHEMA_DIR: folder, TENANT_SCHEMA_BEHIND: 'serve', TENANT_MAX_CONNECTIONS: '5' },
    ...settings,
  })
  const tenancy = await installation.open()
  const owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
  await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner })
  token = (await tenancy.issueAccessToken({ user: owner })).token
  await tenancy.close()
  await writeFile(join(folder, second), 'create table notes (id int)')
  await writeFile(join(folder, '0002_notes.down.sql'), 'drop table notes')
}

async function serve(tenancy: Tenancy, isGuarded: boolean): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(tenancyPlugin, { tenancy })
  app.get('/', isGuarded ? { preHandler: requireSchema(second) } : {}, async () => 'ok')
  await app.ready()
  return app
}

/** A process for each way to hear of changes, that asks for the second migration. */
async function serveAll(demand: 'requireSchema' | 'minimumSchema'): Promise<void> {
  for (const [way, env] of Object.entries(ways)) {
    const isGuarded = demand === 'requireSchema'
    const tenancy = await installation.open({ env, ...(isGuarded ? {} : { minimumSchema: second }) })
    apps.push({ way, app: await serve(tenancy, isGuarded) })
  }
}

afterEach(async () => {
  for (const { app } of apps) await app.close()
  apps = []
  await installation.drop()
  await rm(folder, { recursive: true })
})

const ask = async (app: FastifyInstance): Promise<number> => {
  const { statusCode, headers } = await app.inject({
    url: '/',
    headers: { authorization: `Bearer ${token}`, 'x-tenant-id': 'acme' },
  })
  if (statusCode === 503) expect(headers['retry-after']).toBe('1')
  return statusCode
}
const answers = () => Promise.all(apps.map(async ({ way, app }) => [way, await ask(app)] as const))
const all = (status: number) => apps.map(({ way }) => [way, status])

/** Changes the fleet in a process of its own. */
async function change(work: string): Promise<void> {
  const program = `
    import { createTenancy } from ${JSON.stringify(join(repository, 'dist/index.js'))}
    const tenancy = await createTenancy()
    const { failed } = await tenancy.fleet.${work}
    await tenancy.close()
    process.exitCode = failed`
  const { TENANT_REDIS_URL: _none, ...env } = installation.env
  const child = startNode([], { env, program })
  expect(await child.ended, child.stderr).toBe(0)
}

/** Ends the connections that listen for changes. */
const endListeners = () =>
  withAdmin((admin) =>
    admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and lower(query) like 'listen %'",
      [installation.catalogName],
    ),
  )

/** The strict process knows with its next request; the others with the first one that begins after the bound. */
async function expectHeard(status: number): Promise<void> {
  const strict = apps.find(({ way }) => way === 'strict')
  expect(await ask(strict!.app)).toBe(status)
  await sleep(stalenessMs)
  expect(await answers()).toEqual(all(status))
}

const facts = () => {
  test.each(['requireSchema', 'minimumSchema'] as const)(
    'A tenant that another process migrates, or takes back, is served, or refused, by %s within the bound',
    async (demand) => {
      await serveAll(demand)
      for (let round = 0; round < 3; round += 1) expect(await answers()).toEqual(all(503))
      await change('migrate()')
      await expectHeard(200)
      await change('revert({ last: 1 })')
      await expectHeard(503)
    },
  )

  test('The bound holds when the connections that listen are lost while the tenant is migrated', async () => {
    await serveAll('requireSchema')
    expect(await answers()).toEqual(all(503))
    const losing = setInterval(() => void endListeners(), 20)
    await change('migrate()').finally(() => clearInterval(losing))
    await endListeners()
    await expectHeard(200)
  })
}

describe('without Redis', () => {
  beforeEach(() => prepare({}))
  facts()
})

describeWithRedis('with Redis', (url) => {
  beforeEach(() => prepare({ TENANT_REDIS_URL: url }))
  facts()

  test('A process that starts after the migration is not misled by the member that was written before it', async () => {
    await serveAll('requireSchema')
    expect(await answers()).toEqual(all(503))
    await change('migrate()')
    const late = await serve(await installation.open({ env: ways['listening']! }), true)
    apps.push({ way: 'late', app: late })
    expect(await ask(late)).toBe(200)
  })
})
