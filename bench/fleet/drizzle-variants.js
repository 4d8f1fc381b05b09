// The same queries through Drizzle: over a tenant's pool, and by drizzle-multitenant.
import { createTenantManager, defineConfig } from 'drizzle-multitenant'
import { drizzle } from 'drizzle-orm/node-postgres'
import { createTenancy, loadConfig } from 'tenants2fast'
import { itemsByDrizzle } from './items.js'

/** @type {Record<string, import('./variants.js').Variant>} */
export const drizzleVariants = {
  async 'tenants2fast-drizzle'({ env, tenants, connections }) {
    const tenancy = await createTenancy({ config: loadConfig({ ...env, TENANT_MAX_CONNECTIONS: String(connections) }) })
    // Pools are always the same objects, so what is made of one can be kept with it; drizzle-multitenant does that, too.
    const databases = new WeakMap()
    const databaseOf = (tenant) => {
      const pool = tenancy.getTenantPool(tenants[tenant])
      const database = databases.get(pool) ?? drizzle(pool)
      databases.set(pool, database)
      return database
    }
    return { items: itemsByDrizzle(databaseOf), close: () => tenancy.close() }
  },

  // At its most careful: one connection a pool, so that as many tenants as there are connections keep one. `getDb` and not
  // `getDbAsync`, which asks each new connection for 1 first. Its LRU also ends pools in use: it has more connections than
  // pools for moments, and callers that wait for such a pool's connection get an error after 5 s (`connectionTimeoutMillis`;
  // without that limit they would wait for ever). Until then they load nothing, which flatters the other callers' times.
  async 'drizzle-multitenant'({ schemas, connections }) {
    const manager = createTenantManager(
      defineConfig({
        connection: { url: schemas.url, poolConfig: { max: 1 } },
        isolation: {
          strategy: 'schema',
          schemaNameTemplate: (tenant) => schemas.names[Number(tenant)],
          maxPools: connections,
        },
        schemas: { tenant: {} },
      }),
    )
    return { items: itemsByDrizzle((tenant) => manager.getDb(String(tenant))), close: () => manager.dispose() }
  },
}
