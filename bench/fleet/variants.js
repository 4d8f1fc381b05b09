// Ways to reach a thousand tenants' databases on fifty connections.
import { LRUCache } from 'lru-cache'
import pg from 'pg'
import { createTenancy, loadConfig } from 'tenants2fast'
import { drizzleVariants } from './drizzle-variants.js'
import { itemsBySql } from './items.js'

/**
 * @typedef {import('./fleet.js').FleetTenant} FleetTenant
 * @typedef {{ env: Record<string, string>, server: { host: string, port: number }, tenants: FleetTenant[], connections: number,
 *   pgbouncer?: { port: number, user: string }, schemas?: { url: string, names: string[] } }} Setup
 * @typedef {(setup: Setup) => Promise<{ items: import('./items.js').Items, close(): Promise<void> }>} Variant `items`: of a
 *   tenant, by index
 */

/** @type {Record<string, Variant>} */
export const variants = {
  ...drizzleVariants,

  async tenants2fast({ env, tenants, connections }) {
    const tenancy = await createTenancy({ config: loadConfig({ ...env, TENANT_MAX_CONNECTIONS: String(connections) }) })
    return {
      items: itemsBySql((tenant, text, values) => tenancy.getTenantPool(tenants[tenant]).query(text, values)),
      close: () => tenancy.close(),
    }
  },

  // The usual way: a pool for each of the tenants used last, of the size that a tenant may have (5, as with us).
  'pool-per-tenant-lru': (setup) => poolPerTenant(setup, 5),

  // The same at its most careful: one connection a pool, so that as many tenants as there are connections keep one.
  'one-connection-pools-lru': (setup) => poolPerTenant(setup, 1),

  // Pools to PgBouncer cost little, so each tenant keeps its own. One role for all databases: only so can PgBouncer hold
  // all of its connections to a limit (max_user_connections) and close an idle one in favour of another database.
  pgbouncer: async ({ tenants, pgbouncer }) => {
    const pools = new Map()
    const poolOf = (tenant) => {
      let pool = pools.get(tenant)
      if (pool === undefined) {
        const { database } = tenants[tenant].account
        pool = new pg.Pool({ host: '127.0.0.1', port: pgbouncer.port, user: pgbouncer.user, database, max: 5 })
        pool.on('error', () => {})
        pools.set(tenant, pool)
      }
      return pool
    }
    return {
      items: itemsBySql((tenant, text, values) => poolOf(tenant).query(text, values)),
      close: async () => void (await Promise.all([...pools.values()].map((pool) => pool.end()))),
    }
  },
}

// Pools in use are not ended, and a pool is opened only when its connections fit: no error, no burst over the limit.
async function poolPerTenant({ server, tenants, connections }, perTenant) {
  const most = connections / perTenant
  /** @type {LRUCache<number, { pool: pg.Pool, users: number }>} */
  const pools = new LRUCache({ max: most })
  /** Pools that have connections, those being ended included. */
  let open = 0
  let waiting = []
  const changed = () => new Promise((resolve) => waiting.push(resolve))
  const tell = () => {
    const told = waiting
    waiting = []
    for (const resolve of told) resolve()
  }
  const acquire = async (tenant) => {
    for (;;) {
      const known = pools.get(tenant)
      if (known !== undefined) {
        known.users += 1
        return known
      }
      if (open < most) {
        open += 1
        const { account } = tenants[tenant]
        const pool = new pg.Pool({ ...account, host: server.host, port: server.port, max: perTenant })
        pool.on('error', () => {})
        const entry = { pool, users: 1 }
        pools.set(tenant, entry)
        return entry
      }
      const oldest = [...pools.rentries()].find(([, { users }]) => users === 0)
      if (oldest === undefined) {
        await changed()
        continue
      }
      pools.delete(oldest[0])
      await oldest[1].pool.end()
      open -= 1
      tell()
    }
  }
  return {
    items: itemsBySql(async (tenant, text, values) => {
      const entry = await acquire(tenant)
      try {
        return await entry.pool.query(text, values)
      } finally {
        entry.users -= 1
        if (entry.users === 0) tell()
      }
    }),
    close: async () => void (await Promise.all([...pools.values()].map(({ pool }) => pool.end()))),
  }
}
