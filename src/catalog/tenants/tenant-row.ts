import { TenancyError } from '../../core/errors/errors.js'
import type { Tenant } from '../../core/model.js'
import { parseTenantRef } from '../../core/tenants/slug.js'
import type { SqlClient } from '../../core/sql-client.js'

/** Columns of `tenants` under the names of {@link Tenant}. */
export const tenantColumns = `id, slug, name, status, contact_email as "contactEmail", max_users as "maxUsers",
  database_id as "databaseId", created_by as "createdBy", created_at as "createdAt", updated_at as "updatedAt",
  suspended_at as "suspendedAt", deleted_at as "deletedAt"`

/**
 * Finds a tenant by id or slug, in any status.
 *
 * @param lock keeps the row from changing until the end of the transaction
 * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND
 */
export async function findTenant(client: SqlClient, idOrSlug: string, { lock = false } = {}): Promise<Tenant> {
  const ref = parseTenantRef(idOrSlug)
  if (ref) {
    const { rows } = await client.query<Tenant>(
      `select ${tenantColumns} from tenants where ${ref.kind} = $1 ${lock ? 'for no key update' : ''}`,
      [ref.value],
    )
    if (rows[0]) return rows[0]
  }
  throw new TenancyError(
    'TENANCY_TENANT_NOT_FOUND',
    `No tenant ${JSON.stringify(idOrSlug.slice(0, 60))}: check the id or slug`,
  )
}
