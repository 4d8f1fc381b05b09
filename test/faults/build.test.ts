import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type EmbeddedServer, startEmbeddedServer } from '../../src/databases/embedded/index.js'
import { processIdentity } from '../../src/databases/embedded/process-identity.js'
import { createTenancy, loadConfig, type Tenancy } from '../../src/index.js'
import { type PgProxy, startPgProxy } from '../support/proxies/pg-proxy.js'
import { silentLogger } from '../support/silent-logger.js'
import { findDamage, findViolations, type InspectedInstallation } from './invariants.js'

let dataDir: string
let schemaDir: string
let server: EmbeddedServer
let proxy: PgProxy
let tenancy: Tenancy
let owner: string

// A killed server loses what it had not handed to the operating system: with or without fsync, commits that did not wait.
const startServer = () => startEmbeddedServer({ dataDir, logger: silentLogger, settings: { fsync: 'off' } })

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 't2f-build-'))
  schemaDir = await mkdtemp(join(tmpdir(), 't2f-schema-'))
  await writeFile(join(schemaDir, '0001_marks.sql'), 'create table marks (tenant_id uuid not null)')
  server = await startServer()
  proxy = await startPgProxy({ upstream: server.account })
  const { user, password } = server.account
  const config = loadConfig({
    TENANT_DATABASE_URL: `postgres://${user}:${password}@127.0.0.1:${proxy.port}/postgres`,
    TENANT_SECRET: randomBytes(32).toString('hex'),
    TENANT_SCHEMA_DIR: schemaDir,
    TENANT_READY_DATABASES: '0',
  })
  tenancy = await createTenancy({ config, logger: silentLogger })
  owner = (await tenancy.createUser({ email: 'owner@example.com', name: 'Owner', emailVerified: true })).id
}, 60_000)

afterAll(async () => {
  await tenancy.close()
  await proxy.close()
  await server.stop()
  await rm(dataDir, { recursive: true, force: true, maxRetries: 5 })
  await rm(schemaDir, { recursive: true })
})

const withAdmin: InspectedInstallation['withAdmin'] = async (work, database = 'postgres') => {
  const { host, port, user, password } = server.account
  const admin = new pg.Client({ host, port, user, password, database })
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.end()
  }
}

/** Databases and roles on the server that the catalog does not know. The server is read first: rows are removed last. */
async function withoutRow(): Promise<string[]> {
  const built = await withAdmin(
    async (admin) =>
      (
        await admin.query<{ name: string }>(
          `select datname as name from pg_database where datname ~ $1 union select rolname from pg_roles where rolname ~ $1`,
          ['^tenant_[0-9a-f]{32}$'],
        )
      ).rows,
  )
  const rows = await withAdmin(
    async (admin) => (await admin.query<{ name: string }>('select name from tenant_databases')).rows,
    'tenants2fast',
  )
  return built.map(({ name }) => name).filter((name) => rows.every((row) => row.name !== name))
}

async function violations(): Promise<string[]> {
  const { host, port, user, password } = server.account
  const catalog = new pg.Pool({ host, port, user, password, database: 'tenants2fast', max: 1 })
  // A pool has ended before its connections have: the goodbye of a server that stops may reach them.
  catalog.on('error', () => {})
  try {
    const inspected = { catalog, prefix: 'tenant_', withAdmin }
    return [...(await findViolations(inspected, [])), ...(await findDamage(inspected, new Set()))]
  } finally {
    await catalog.end()
  }
}

test.each([
  'begin_database_build',
  'create role',
  'create database',
  'comment on database',
  'insert into tenants2fast.identity',
  "set state = 'ready'",
])(
  'A server that is killed right after it has answered “%s” of a build has no database without a row, and is cleaned up',
  async (text) => {
    let isKilled = false
    proxy.onBoundary = async (boundary) => {
      if (boundary.phase !== 'after' || isKilled || !boundary.text.includes(text)) return
      isKilled = true
      const { pid } = server
      process.kill(pid, 'SIGKILL')
      while (processIdentity(pid) !== undefined) await sleep(5)
    }
    const slug = text.replaceAll(/[^a-z]+/g, '-').slice(0, 20)
    const creation = { name: 'Killed', slug: `${slug}-x`, owner }
    await expect(tenancy.createTenant(creation)).rejects.toThrow()
    expect(isKilled).toBe(true)
    await server.stop()
    server = await startServer()
    // The process reaches the server only after this.
    expect(await withoutRow()).toEqual([])
    proxy.upstream = server.account
    await vi.waitFor(
      async () => {
        await tenancy.reconcile()
        expect(await violations()).toEqual([])
      },
      { timeout: 60_000, interval: 200 },
    )
    await expect(tenancy.createTenant(creation)).resolves.toMatchObject({ status: 'active' })
    expect(await violations()).toEqual([])
  },
  120_000,
)
