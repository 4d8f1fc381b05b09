import { TenancyError } from '../../core/errors/errors.js'
import { selectList } from '../../core/columns.js'
import { type Tenant, tenantColumns } from '../../core/model.js'
import { parseTenantRef, type TenantRef } from '../../core/tenants/slug.js'
import type { SqlClient } from '../../core/sql-client.js'

/** Reads a row of `tenants` as a {@link Tenant}. */
export const tenantList = selectList(tenantColumns)

/** SQL condition: a tenant has this id, this slug, or had this slug lately (see `renameTenant`). */
export const isNamed = (kind: TenantRef['kind'], value: string): string =>
  kind === 'id'
    ? `id = ${value}`
    : `id = coalesce(
        (select named.id from tenants as named where named.slug = ${value}),
        (select tenant_id from tenant_slug_aliases as alias where alias.slug = ${value} and alias.expires_at > now()))`

/**
 * Finds a tenant by id, slug or former slug, in any status.
 *
 * @param lock locks the row against changes until the end of the transaction
 * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND
 */
export async function findTenant(client: SqlClient, idOrSlug: string, { lock = false } = {}): Promise<Tenant> {
  const ref = parseTenantRef(idOrSlug)
  if (ref) {
    const { rows } = await client.query<Tenant>(
      `select ${tenantList} from tenants where ${isNamed(ref.kind, '$1')} ${lock ? 'for no key update' : ''}`,
      [ref.value],
    )
    if (rows[0]) return rows[0]
  }
  throw tenantNotFound(idOrSlug)
}

/** The error for text that names no tenant. */
export function tenantNotFound(idOrSlug: string): TenancyError {
  return new TenancyError(
    'TENANCY_TENANT_NOT_FOUND',
    `No tenant ${JSON.stringify(idOrSlug.slice(0, 60))}: check the id or slug`,
  )
}
