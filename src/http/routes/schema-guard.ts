import type { RequestContext } from '../../core/context/request-scope.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SchemaDemands } from '../../core/tenants/schema-demands.js'

/**
 * Returns if the tenant of a request has a migration.
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED, TENANCY_TENANT_NONE, TENANCY_DATABASE_SCHEMA_BEHIND
 */
export type SchemaGuard = (caller: Pick<RequestContext, 'user' | 'tenant' | 'schemaVersion'>) => void

/**
 * Binds a demand for a migration, once, so that each request costs one comparison.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: the schema of this process has no such migration
 */
export function bindSchemaGuard(migration: string, schema: Pick<SchemaDemands, 'versionOf' | 'require'>): SchemaGuard {
  const version = schema.versionOf(migration)
  if (version === undefined) {
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      `requireSchema(${JSON.stringify(migration)}): the schema of this process has no such migration`,
    )
  }
  return ({ user, tenant, schemaVersion = null }) => {
    if (tenant !== undefined) return schema.require(version, { tenant, schemaVersion })
    throw new TenancyError(user === undefined ? 'TENANCY_AUTH_REQUIRED' : 'TENANCY_TENANT_NONE')
  }
}
