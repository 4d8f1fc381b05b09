import { TenancyError } from '../../core/errors/errors.js'
import { selectList } from '../../core/columns.js'
import { type Tenant, tenantColumns } from '../../core/model.js'
import { parseTenantRef } from '../../core/tenants/slug.js'
import type { SqlClient } from '../../core/sql-client.js'

/** Reads a row of `tenants` as a {@link Tenant}. */
export const tenantList = selectList(tenantColumns)

/**
 * Finds a tenant by id or slug, in any status.
 *
 * @param lock locks the row against changes until the end of the transaction
 * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND
 */
export async function findTenant(client: SqlClient, idOrSlug: string, { lock = false } = {}): Promise<Tenant> {
  const ref = parseTenantRef(idOrSlug)
  if (ref) {
    const { rows } = await client.query<Tenant>(
      `select ${tenantList} from tenants where ${ref.kind} = $1 ${lock ? 'for no key update' : ''}`,
      [ref.value],
    )
    if (rows[0]) return rows[0]
  }
  throw new TenancyError(
    'TENANCY_TENANT_NOT_FOUND',
    `No tenant ${JSON.stringify(idOrSlug.slice(0, 60))}: check the id or slug`,
  )
}
