// A PostgreSQL with many real tenants for a benchmark. It does not wait for the disk (fsync off), for every variant alike:
// these benchmarks are about connections.
//
//   T2F_BENCH_TENANTS  how many tenants (default 1000; about 8 MB of disk each)
//   T2F_BENCH_DIR      keep the server's folder there, and find the tenants again in the next run
import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { startEmbeddedServer } from '../../dist/databases/embedded/supervisor.js'
import { deriveRolePassword } from '../../dist/databases/server/role-password.js'

export const tenantCount = Number(process.env.T2F_BENCH_TENANTS ?? 1000)
const bytesPerDatabase = 9e6
const reserveBytes = 5e9
// Of throw-away databases; the rivals log in with the tenants' own roles, whose passwords come from it.
const secret = 'be'.repeat(32)
const quiet = { debug() {}, info() {}, warn() {}, error: (...all) => console.error(...all) }
const settings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '400',
  max_wal_size: '4GB',
  // Its workers would come between any two measurements.
  autovacuum_naptime: '1h',
}

/**
 * @typedef {{ slug: string, databaseId: string, account: { user: string, password: string, database: string } }} FleetTenant
 * @typedef {{ url: string, server: import('../../dist/core/tenants/database-target.js').ServerAccount, env: Record<string, string>,
 *   tenants: FleetTenant[], prefix: string, catalog: string, admin: pg.Client }} Fleet
 */

/** @template Result @param {(fleet: Fleet) => Promise<Result>} work @returns {Promise<Result>} */
export async function withFleet(work) {
  const kept = process.env.T2F_BENCH_DIR
  const dataDir = kept ?? mkdtempSync(join(tmpdir(), 't2f-fleet-'))
  const server = await startEmbeddedServer({ dataDir, settings, logger: quiet })
  try {
    const { user, password, host, port, database } = server.account
    const url = `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`
    const env = {
      TENANT_DATABASE_URL: url,
      TENANT_SECRET: secret,
      TENANT_SCHEMA_DIR: fileURLToPath(new URL('schema', import.meta.url)),
      TENANT_READY_DATABASES: '0',
    }
    const tenants = await createTenants(env, dataDir)
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    try {
      await admin.query('checkpoint')
      return await work({
        url,
        server: server.account,
        env,
        tenants,
        prefix: loadConfig(env).databasePrefix,
        catalog: loadConfig(env).catalogDatabase,
        admin,
      })
    } finally {
      await admin.end()
    }
  } finally {
    await server.stop()
    if (kept === undefined) rmSync(dataDir, { recursive: true, force: true })
  }
}

async function createTenants(env, dataDir) {
  const tenancy = await createTenancy({ config: loadConfig(env), logger: quiet })
  try {
    const tenants = []
    for (let page; page === undefined || page.length === 1000; tenants.push(...page)) {
      page = await tenancy.listTenants({ limit: 1000, ...(tenants.length > 0 && { after: tenants.at(-1).id }) })
    }
    const missing = tenantCount - tenants.length
    const { bavail, bsize } = statfsSync(dataDir)
    if (missing * bytesPerDatabase + reserveBytes > bavail * bsize) {
      throw new Error(
        `${missing} tenant databases need ${gigabytes(missing * bytesPerDatabase)}, and ${dataDir} has ` +
          `${gigabytes(bavail * bsize)} (${gigabytes(reserveBytes)} stay free): lower T2F_BENCH_TENANTS`,
      )
    }
    const email = 'owner@example.com'
    const owner =
      (await tenancy.findUserByEmail(email)) ??
      (await tenancy.createUser({ email, name: 'Owner', emailVerified: true }))
    const started = performance.now()
    let next = 0
    const worker = async () => {
      while (next < missing) {
        const slug = `bench-${tenants.length + next}-${Date.now()}`
        next += 1
        await tenancy.createTenant({ name: slug, slug, owner: owner.id })
        if (next % 100 === 0) console.error(`${next} of ${missing} tenants made`)
      }
    }
    await Promise.all([worker(), worker()])
    if (missing > 0) {
      const seconds = (performance.now() - started) / 1000
      console.error(`${missing} tenants made in ${seconds.toFixed(0)} s`)
      return await createTenants(env, dataDir)
    }
    const { databasePrefix } = tenancy.config
    return tenants.slice(0, tenantCount).map(({ slug, databaseId }) => {
      const name = `${databasePrefix}${databaseId.replaceAll('-', '')}`
      const password = deriveRolePassword(Buffer.from(secret, 'hex'), databaseId)
      return { slug, databaseId, account: { user: name, password, database: name } }
    })
  } finally {
    await tenancy.close()
  }
}

const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`
