import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import pg from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { requireSchema, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { type CreateTenancyOptions, getTenantPool, type Tenancy } from '../../src/index.js'
import { createInstallation, type Installation } from '../support/installation.js'

const count = 4
const first = '0001_items.sql'
const second = '0002_notes.sql'

let installation: Installation
let folder: string
let tenancy: Tenancy
let token: string
const apps: FastifyInstance[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 't2f-releases-'))
  await writeFile(join(folder, first), 'create table items (id int primary key, name text)')
  installation = createInstallation({ TENANT_SCHEMA_DIR: folder, TENANT_SCHEMA_BEHIND: 'serve' })
  tenancy = await installation.open()
  const owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
  for (let index = 1; index <= count; index += 1) {
    const tenant = await tenancy.createTenant({ name: 'T', slug: `tenant-${index}`, owner })
    await tenancy.getTenantPool(tenant).query("insert into items values (1, 'one')")
  }
  token = (await tenancy.issueAccessToken({ user: owner })).token
})
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close()
  await installation.drop()
  await rm(folder, { recursive: true })
})

/** An application of one release: what it reads is what its own schema has. */
async function serve(release: Tenancy, routes: (app: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(tenancyPlugin, { tenancy: release })
  app.get('/items/:id', async (request) => {
    const { id } = request.params as { id: string }
    return (await getTenantPool().query('select * from items where id = $1', [id])).rows
  })
  app.get('/twice/:id', async (request) => {
    const { id } = request.params as { id: string }
    const client = await getTenantPool().connect()
    try {
      await client.query('begin')
      await client.query('insert into items values (2, $1) on conflict (id) do update set name = excluded.name', [id])
      const { rows } = await client.query('select * from items where id = $1', [id])
      await client.query('commit')
      return rows
    } catch (error) {
      await client.query('rollback')
      throw error
    } finally {
      client.release()
    }
  })
  routes(app)
  await app.ready()
  apps.push(app)
  return app
}

const get = (app: FastifyInstance, url: string, tenant = 'tenant-1') =>
  app.inject({ url, headers: { authorization: `Bearer ${token}`, 'x-tenant-id': tenant } })

/** Opens the release that has the second file. */
async function openNewer(options: CreateTenancyOptions & { env?: Record<string, string> } = {}): Promise<Tenancy> {
  await writeFile(join(folder, second), 'alter table items add column note text default $$x$$')
  return installation.open(options)
}

test('Two releases serve one fleet side by side all the way through a migration, without an error', async () => {
  const newer = await openNewer()
  const old = await serve(tenancy, () => {})
  const fresh = await serve(newer, (app) => {
    app.get('/note', { preHandler: requireSchema(second) }, async () => {
      const { rows } = await getTenantPool().query('select note from items where id = $1', [1])
      return rows
    })
  })
  const statuses: Record<string, number> = {}
  const noted = new Set<string>()
  let isRunning = true
  const serving = (async () => {
    while (isRunning) {
      for (let index = 1; index <= count; index += 1) {
        const tenant = `tenant-${index}`
        const answers = await Promise.all([
          ...[get(old, '/items/1', tenant), get(old, '/twice/1', tenant)],
          ...[get(fresh, '/items/1', tenant), get(fresh, '/twice/1', tenant)],
        ])
        for (const { statusCode, body } of answers) {
          statuses[statusCode] = (statuses[statusCode] ?? 0) + 1
          if (statusCode !== 200) throw new Error(body)
        }
        const note = await get(fresh, '/note', tenant)
        if (note.statusCode === 503) {
          expect(note.headers['retry-after']).toBe('1')
          expect(note.json()).toMatchObject({ code: 'TENANCY_DATABASE_SCHEMA_BEHIND' })
          expect(noted).not.toContain(tenant)
        } else {
          expect([note.statusCode, note.json()]).toEqual([200, [{ note: 'x' }]])
          noted.add(tenant)
        }
      }
    }
  })()
  await expect.poll(() => statuses[200] ?? 0, { timeout: 20_000 }).toBeGreaterThan(100)
  expect(noted.size).toBe(0)
  // A third process, as a deployment has it: both releases learn of it from the catalog alone.
  const runner = await installation.open()
  const results = { slow: 0 }
  const report = await runner.fleet.migrate({
    parallelism: 1,
    async onResult() {
      const before = statuses[200] ?? 0
      await expect.poll(() => statuses[200] ?? 0, { timeout: 20_000 }).toBeGreaterThan(before + 20)
      results.slow += 1
    },
  })
  expect(report).toMatchObject({ migrated: count, failed: 0 })
  await expect.poll(() => noted.size, { timeout: 20_000 }).toBe(count)
  isRunning = false
  await serving
  expect(Object.keys(statuses)).toEqual(['200'])
  await runner.close()
  await newer.close()
}, 60_000)

test('By default nothing is demanded: a tenant that is behind is served, and the lag is logged once', async () => {
  const newer = await openNewer()
  const app = await serve(newer, () => {})
  for (let round = 0; round < 3; round += 1) expect((await get(app, '/items/1')).statusCode).toBe(200)
  const lines = () => installation.log.filter((line) => JSON.stringify(line).includes('older schema than the newest'))
  expect(lines()).toHaveLength(1)
  expect((await get(app, '/items/1', 'tenant-2')).statusCode).toBe(200)
  expect(lines()).toHaveLength(2)
  expect(await newer.fleet.status()).toMatchObject({ behind: count })
  await newer.close()
})

test('A tenant below minimumSchema gets 503 and Retry-After until it was migrated elsewhere; others are served', async () => {
  const newer = await openNewer({ minimumSchema: second })
  const app = await serve(newer, () => {})
  const refusal = await get(app, '/items/1')
  expect(refusal.statusCode).toBe(503)
  expect(refusal.headers['retry-after']).toBe('1')
  expect(refusal.json()).toMatchObject({ code: 'TENANCY_DATABASE_SCHEMA_BEHIND' })
  await expect(newer.getTenantPool(await newer.getTenant('tenant-1')).query('select 1')).rejects.toMatchObject({
    code: 'TENANCY_DATABASE_SCHEMA_BEHIND',
  })
  const runner = await installation.open()
  await runner.fleet.migrate({ tenants: ['tenant-1'] })
  await expect.poll(async () => (await get(app, '/items/1')).statusCode, { timeout: 10_000 }).toBe(200)
  expect((await get(app, '/items/1', 'tenant-2')).statusCode).toBe(503)
  await runner.close()
  await newer.close()
})

test('A tenant above maximumSchema gets 503, also by a process that served it before its migration', async () => {
  const old = await installation.open({ maximumSchema: '0001_items' })
  const app = await serve(old, () => {})
  expect((await get(app, '/items/1')).statusCode).toBe(200)
  const newer = await openNewer()
  await newer.fleet.migrate({ tenants: ['tenant-1'] })
  await expect
    .poll(async () => (await get(app, '/items/1')).json().code, { timeout: 10_000 })
    .toBe('TENANCY_DATABASE_SCHEMA_AHEAD')
  const refusal = await get(app, '/items/1')
  expect([refusal.statusCode, refusal.headers['retry-after']]).toEqual([503, '1'])
  expect((await get(app, '/items/1', 'tenant-2')).statusCode).toBe(200)
  await old.close()
  await newer.close()
})

test('With TENANT_SCHEMA_BEHIND=migrate, a guard that refuses has the tenant migrated meanwhile', async () => {
  const newer = await openNewer({ env: { TENANT_SCHEMA_BEHIND: 'migrate' } })
  const app = await serve(newer, (each) => {
    each.get('/note', { preHandler: requireSchema('0002_notes') }, async () => 'ok')
  })
  expect((await get(app, '/note')).statusCode).toBe(503)
  await expect.poll(async () => (await get(app, '/note')).statusCode, { timeout: 10_000 }).toBe(200)
  expect(await newer.fleet.status()).toMatchObject({ behind: count - 1 })
  await newer.close()
})

test('The guarded path makes no query: the version comes with the member', async () => {
  const newer = await openNewer()
  await newer.fleet.migrate()
  const app = await serve(newer, (each) => {
    each.get('/guarded', { preHandler: requireSchema(second) }, async () => 'ok')
  })
  expect((await get(app, '/guarded')).statusCode).toBe(200)
  const sent = vi.spyOn(pg.Client.prototype, 'query')
  for (let round = 0; round < 5; round += 1) expect((await get(app, '/guarded')).statusCode).toBe(200)
  // Heartbeats go on beside requests; they ask for no tenant.
  const texts = sent.mock.calls.map(([query]) => JSON.stringify(query))
  expect(texts.filter((text) => /tenants|user_tenants|tenant_databases/.test(text))).toEqual([])
  sent.mockRestore()
  await newer.close()
})

test('Unknown migrations refuse to start, and a route that demands one cannot be registered', async () => {
  for (const options of [
    { minimumSchema: '0009_nothing.sql' },
    { maximumSchema: '' },
    { minimumSchema: '0001' },
    { minimumSchema: 'toString' },
  ]) {
    await expect(installation.open(options), JSON.stringify(options)).rejects.toMatchObject({
      code: 'TENANCY_CONFIG_INVALID',
      message: expect.stringContaining('has no migration'),
    })
  }
  await writeFile(join(folder, second), 'select 1')
  await expect(installation.open({ minimumSchema: second, maximumSchema: first })).rejects.toMatchObject({
    code: 'TENANCY_CONFIG_INVALID',
  })
  await expect(
    serve(tenancy, (app) => {
      app.get('/x', { preHandler: requireSchema('0009_nothing.sql') }, async () => 'ok')
    }),
  ).rejects.toMatchObject({ code: 'TENANCY_CONFIG_INVALID' })
  expect(() => requireSchema(undefined as never)).toThrow(expect.objectContaining({ code: 'TENANCY_CONFIG_INVALID' }))
})
