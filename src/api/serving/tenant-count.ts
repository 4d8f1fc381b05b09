import type { SqlClient } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'

/** Makes the function that counts the tenants that a user has created, deleted ones included: their databases are kept. */
export function createTenantCount(catalog: SqlClient): (user: string) => Promise<number> {
  return async (user) => {
    const { rows } = await catalogAnswer(
      catalog.query<{ count: number }>('select count(*)::integer as count from tenants where created_by = $1', [user]),
      'tenants',
    )
    return rows[0]?.count ?? 0
  }
}
