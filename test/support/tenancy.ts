import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../src/core/config.js'
import type { Logger } from '../../src/core/logger.js'
import type { Tenant } from '../../src/core/model.js'
import { quoteIdentifier } from '../../src/core/sql.js'
import { createTenancy } from '../../src/tenancy.js'
import type { Tenancy } from '../../src/tenancy-interface.js'
import { testPrefix, testServer, uniqueName, withAdmin } from './server.js'

const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** A whole installation on the test server, with its processes. */
export interface TestTenancies {
  readonly prefix: string
  /** Opens a process of the installation, as it were; closed by `drop`. */
  open(env?: Readonly<Record<string, string>>): Promise<Tenancy>
  /** Tenants with a table `items` of two rows, the first one's name the tenant's slug. */
  createTenants(tenancy: Tenancy, count: number): Promise<Tenant[]>
  drop(): Promise<void>
}

/** An installation with a catalog, a prefix and a secret of its own. */
export async function createTestTenancies(): Promise<TestTenancies> {
  // As long as a prefix may be.
  const prefix = `${testPrefix()}${randomBytes(3).toString('hex')}_`
  const { url } = await testServer()
  const schemaDir = await mkdtemp(join(tmpdir(), 't2f-schema-'))
  await writeFile(join(schemaDir, '0001_items.sql'), 'create table items (id int primary key, name text not null);')
  const shared = {
    TENANT_DATABASE_URL: url,
    TENANT_CATALOG_DB: `${prefix}catalog`,
    TENANT_DB_PREFIX: prefix,
    TENANT_SCHEMA_DIR: schemaDir,
    TENANT_SECRET: randomBytes(32).toString('hex'),
    TENANT_READY_DATABASES: '0',
    TENANT_MAX_CONNECTIONS: '10',
  }
  const opened: Tenancy[] = []
  return {
    prefix,
    async open(env = {}) {
      const tenancy = await createTenancy({ config: loadConfig({ ...shared, ...env }), logger: quiet })
      opened.push(tenancy)
      return tenancy
    },
    async createTenants(tenancy, count) {
      const owner = await tenancy.createUser({ email: `${uniqueName()}@example.com`, name: 'O', emailVerified: true })
      const tenants: Tenant[] = []
      for (let index = 0; index < count; index += 1) {
        const slug = `t-${randomBytes(4).toString('hex')}`
        const tenant = await tenancy.createTenant({ name: slug, slug, owner: owner.id })
        await tenancy.getTenantPool(tenant).query("insert into items values (1, $1), (2, 'second')", [slug])
        tenants.push(tenant)
      }
      return tenants
    },
    async drop() {
      for (const tenancy of opened) await tenancy.close()
      await rm(schemaDir, { recursive: true })
      await withAdmin(async (admin) => {
        const databases = await admin.query('select datname as name from pg_database where starts_with(datname, $1)', [
          prefix,
        ])
        for (const { name } of databases.rows) {
          await admin.query(`alter database ${quoteIdentifier(name)} is_template false`)
          await admin.query(`drop database ${quoteIdentifier(name)} with (force)`)
        }
        const roles = await admin.query('select rolname as name from pg_roles where starts_with(rolname, $1)', [prefix])
        for (const { name } of roles.rows) await admin.query(`drop role ${quoteIdentifier(name)}`)
      })
    },
  }
}
