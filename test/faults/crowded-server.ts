import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createTenancy, loadConfig, type CreateTenancyOptions, type Tenancy } from '../../src/index.js'
import { type PrivateServer, startPrivateServer } from '../support/servers/private-server.js'
import { silentLogger } from '../support/silent-logger.js'

/** An installation on a server of its own that has few connections, so that a test can take all of them. */
export interface CrowdedServer {
  readonly env: Readonly<Record<string, string>>
  readonly prefix: string
  /** The superuser's one connection to the catalog, opened before the server was full. */
  readonly catalog: pg.Pool
  open(options?: CreateTenancyOptions & { readonly env?: Readonly<Record<string, string>> }): Promise<Tenancy>
  /** Creates tenants `tenant-1`, `tenant-2`, … */
  createTenants(tenancy: Tenancy, count: number): Promise<void>
  /** Takes every connection that the server has left, also those of superusers, and those that become free meanwhile. */
  fill(): Promise<Filling>
  /** Runs `work` on a connection to each assigned tenant database, four at a time. */
  inEach<Result>(work: (client: pg.Client, database: AssignedDatabase) => Promise<Result>): Promise<Result[]>
  stop(): Promise<void>
}

/** A full server. */
export interface Filling {
  /** Connections that are held. */
  readonly held: () => number
  release(): Promise<void>
}

/** A tenant's database as the catalog knows it. */
export interface AssignedDatabase {
  readonly slug: string
  readonly name: string
  readonly schemaVersion: number | null
}

/** Starts the server. Call `stop()` when done. */
export async function startCrowdedServer(settings: Readonly<Record<string, string>>): Promise<CrowdedServer> {
  const server = await startPrivateServer({ settings: { max_connections: '80' } })
  const catalogName = 'catalog'
  const prefix = 't2f_'
  const env = {
    TENANT_DATABASE_URL: server.url(),
    TENANT_CATALOG_DB: catalogName,
    TENANT_DB_PREFIX: prefix,
    TENANT_SECRET: randomBytes(32).toString('hex'),
    TENANT_READY_DATABASES: '0',
    TENANT_MAX_CONNECTIONS: '5',
    TENANT_PROCESSES: '2',
    ...settings,
  }
  const opened: Tenancy[] = []
  const open: CrowdedServer['open'] = async ({ env: overrides, ...options } = {}) => {
    const tenancy = await createTenancy({
      config: loadConfig({ ...env, ...overrides }),
      logger: silentLogger,
      ...options,
    })
    opened.push(tenancy)
    return tenancy
  }
  // Makes the catalog.
  await (await open()).close()
  const catalog = new pg.Pool({ ...server.account, ssl: false, database: catalogName, max: 1, idleTimeoutMillis: 0 })
  // The server may go first, after a failure.
  catalog.on('error', () => {})
  await catalog.query('select 1')
  return {
    ...{ env, prefix, catalog, open },
    async createTenants(tenancy, count) {
      const owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
      let made = 0
      await inTurns(4, async () => {
        if (made >= count) return false
        made += 1
        const slug = `tenant-${made}`
        await tenancy.createTenant({ name: slug, slug, owner })
        return true
      })
    },
    fill: () => fill(server),
    async inEach(work) {
      const { rows } = await catalog.query<AssignedDatabase>(
        `select slug, database.name, schema_version::float8 as "schemaVersion"
         from tenants join tenant_databases as database on database.id = database_id order by tenants.id`,
      )
      const results: Awaited<ReturnType<typeof work>>[] = []
      await inTurns(4, async () => {
        const row = rows.pop()
        if (row === undefined) return false
        const client = new pg.Client({ ...server.account, ssl: false, database: row.name })
        await client.connect()
        try {
          results.push(await work(client, row))
        } finally {
          await client.end()
        }
        return true
      })
      return results
    },
    async stop() {
      await Promise.all(opened.map((tenancy) => tenancy.close()))
      await catalog.end()
      await server.stop()
    },
  }
}

async function fill(server: PrivateServer): Promise<Filling> {
  const held: pg.Client[] = []
  let isReleased = false
  let isFull = () => {}
  const full = new Promise<void>((resolve) => (isFull = resolve))
  const filling = (async () => {
    while (!isReleased) {
      const client = new pg.Client({ ...server.account, ssl: false, application_name: 'crowd' })
      client.on('error', () => {})
      try {
        await client.connect()
        held.push(client)
      } catch (error) {
        if ((error as { code?: string }).code !== '53300') throw error
        isFull()
        await sleep(5)
      }
    }
  })()
  await Promise.race([full, filling])
  return {
    held: () => held.length,
    async release() {
      isReleased = true
      await filling
      await Promise.all(held.map((client) => client.end()))
    },
  }
}

/** Runs `step` again and again in `count` workers, each until it says that nothing is left. */
async function inTurns(count: number, step: () => Promise<boolean>): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async () => {
      while (await step()) continue
    }),
  )
}
