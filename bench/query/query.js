// A SELECT by primary key behind the guard, through the tenant pool, against the same SELECT of a bare Fastify route on
// one plain pg.Pool: the same number of connections, the same database.
import { fileURLToPath } from 'node:url'
import { createTenancy, loadConfig } from 'tenants2fast'
import { withServer } from '../database.js'
import { figure } from '../figures.js'
import { race } from '../load.js'

export function run() {
  return withServer(async (url) => {
    const schemaDir = fileURLToPath(new URL('schema', import.meta.url))
    const env = { TENANT_DATABASE_URL: url, TENANT_SCHEMA_DIR: schemaDir }
    // Held open here, so that both variants find one running server with the tenant in it.
    const tenancy = await createTenancy({ config: loadConfig(env) })
    try {
      const owner = await tenancy.createUser({ email: 'owner@example.com', name: 'Owner', emailVerified: true })
      const tenant = await tenancy.createTenant({ name: 'Acme', slug: 'acme-bench', owner: owner.id })
      await tenancy
        .getTenantPool(tenant)
        .query('insert into items select n, $1 || n from generate_series(1, 10000) n', ['item '])
      const server = fileURLToPath(new URL('server.js', import.meta.url))
      const rates = await race(server, ['plain-pool', 'tenants2fast'], { env })
      return [
        figure(
          'query by primary key',
          'requests/s',
          'bare Fastify on one pg.Pool',
          rates['tenants2fast'],
          rates['plain-pool'],
          '>= 0.90',
        ),
      ]
    } finally {
      await tenancy.close()
    }
  })
}
