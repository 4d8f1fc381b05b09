import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Tenancy, Tenant } from '../../src/index.js'
import { createInstallation } from './installation.js'
import { uniqueName } from './server.js'

/** An installation whose tenants have items. */
export interface TestTenancies {
  readonly prefix: string
  readonly catalogName: string
  /** Opens what another process of the installation would; closed by `drop`. */
  open(env?: Readonly<Record<string, string>>): Promise<Tenancy>
  /** Tenants with a table `items` of two rows, the first one's name the tenant's slug. */
  createTenants(tenancy: Tenancy, count: number): Promise<Tenant[]>
  /** Closes and removes everything. Throws when a connection was left open. */
  drop(): Promise<void>
}

/** An installation with a catalog, a prefix and a secret of its own, and ten connections to tenants a process. */
export async function createTestTenancies(): Promise<TestTenancies> {
  const schemaDir = await mkdtemp(join(tmpdir(), 't2f-schema-'))
  await writeFile(join(schemaDir, '0001_items.sql'), 'create table items (id int primary key, name text not null);')
  const installation = createInstallation({ TENANT_SCHEMA_DIR: schemaDir, TENANT_MAX_CONNECTIONS: '10' })
  return {
    prefix: installation.prefix,
    catalogName: installation.catalogName,
    open: (env = {}) => installation.open({ env }),
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
      await rm(schemaDir, { recursive: true })
      await installation.drop()
    },
  }
}
