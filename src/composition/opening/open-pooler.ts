import { checkPooler, type PoolMode } from '../../connections/pooler-check.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import type { TenantDatabases } from '../../databases/tenant-databases.js'

/**
 * Tries the pooler with a tenant database of this installation, one that nobody uses if there is one; the first start
 * builds one for the stock.
 *
 * @param server the server itself, as an account that sees everybody's connections
 * @throws {@link TenancyError} TENANCY_POOLER_UNFIT, TENANCY_DATABASE_UNAVAILABLE, TENANCY_DATABASE_BUILD_FAILED
 */
export async function openPooler({
  server,
  records,
  databases,
}: {
  readonly server: SqlClient
  readonly records: Pick<TenantDatabaseRecords, 'findAny'>
  readonly databases: Pick<TenantDatabases, 'targetOf' | 'createTenantDatabase'>
}): Promise<PoolMode> {
  const database = (await records.findAny()) ?? (await databases.createTenantDatabase())
  return checkPooler({
    target: databases.targetOf(database),
    async isRunning(pid) {
      const { rows } = await server.query('select from pg_stat_activity where pid = $1', [pid])
      return rows.length > 0
    },
  })
}
