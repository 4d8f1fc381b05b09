// A SELECT by primary key behind the guard, through the tenant pool, against the same SELECT of a bare Fastify route on
// one plain pg.Pool: the same number of connections, the same database. And both pools without HTTP.
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { withServer } from '../database.js'
import { figure } from '../figures.js'
import { race } from '../load.js'
import { compareDirectly } from './direct.js'

export function run() {
  return withServer(async (url) => {
    const schemaDir = fileURLToPath(new URL('schema', import.meta.url))
    // This process and the two variants.
    const processes = { TENANT_PROCESSES: '3', TENANT_MAX_CONNECTIONS: '20' }
    const env = { TENANT_DATABASE_URL: url, TENANT_SCHEMA_DIR: schemaDir, ...processes }
    // Held open here, so that both variants find one running server with the tenant in it.
    const tenancy = await createTenancy({ config: loadConfig(env) })
    try {
      const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'Owner', emailVerified: true })
      const tenant = await tenancy.createTenant({ name: 'Acme', slug: 'acme-bench', owner: owner.id })
      await tenancy
        .getTenantPool(tenant)
        .query('insert into items select n, $1 || n from generate_series(1, 10000) n', ['item '])
      const direct = await compareDirectly(
        tenancy.getTenantPool(tenant),
        await databaseUrl(tenancy, tenant, url),
        tenancy.config.maxTenantConnections,
      )
      const server = fileURLToPath(new URL('server.js', import.meta.url))
      const results = await race(server, ['plain-pool', 'tenants2fast'], { env })
      return [
        direct,
        figure(
          'query by primary key',
          'requests/s',
          'bare Fastify on one pg.Pool',
          results['tenants2fast'].map(({ rate }) => rate),
          results['plain-pool'].map(({ rate }) => rate),
          '>= 0.90',
        ),
      ]
    } finally {
      await tenancy.close()
    }
  })
}

async function databaseUrl(tenancy, tenant, serverUrl) {
  const client = new pg.Client({ connectionString: new URL(`/${tenancy.config.catalogDatabase}`, serverUrl).href })
  await client.connect()
  const { rows } = await client.query('select name from tenant_databases where id = $1', [tenant.databaseId])
  await client.end()
  return new URL(`/${rows[0].name}`, serverUrl).href
}
