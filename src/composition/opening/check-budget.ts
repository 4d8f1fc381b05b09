import { maxCatalogConnections } from '../../catalog/catalog-pool.js'
import type { Config } from '../../core/config/config.js'
import type { SqlPool } from '../../core/sql-client.js'
import { checkConnectionBudget } from '../../databases/server/connection-budget.js'
import { maxBuilderConnections } from '../../databases/tenant-databases.js'

/**
 * Refuses when the server has too few connections for what every process of the installation may open.
 *
 * @param extra connections of a process on top of those that are always reckoned with
 * @throws TENANCY_CONNECTION_BUDGET_TOO_LARGE
 */
export function checkBudget(catalog: SqlPool, config: Config, extra = 0): Promise<void> {
  return checkConnectionBudget(catalog, {
    tenants: config.pooler === undefined ? config.maxConnections : 0,
    catalog: maxCatalogConnections,
    listen: config.changesBy === 'listen' ? 1 : 0,
    watch: config.watch.intervalMs > 0 ? 1 : 0,
    builder: maxBuilderConnections + extra,
    processes: config.processes,
  })
}
