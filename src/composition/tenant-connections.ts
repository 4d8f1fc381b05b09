import type { ConnectionScheduler } from '../connections/scheduler.js'
import { runWithContext } from '../core/context/request-scope.js'
import { TenancyError } from '../core/errors/errors.js'
import type { Tenant } from '../core/model.js'
import type { TenantDatabaseRecords } from '../core/tenants/tenant-databases.js'
import type { TenantPool } from '../core/tenants/tenant-pool.js'
import type { TenantDatabases } from '../databases/tenant-databases.js'

/** From a tenant to connections to its database. */
export interface TenantConnections {
  /** @throws TENANCY_TENANT_STATE_CONFLICT when the tenant has no database, TENANCY_TENANT_NOT_FOUND when it is none */
  pool(tenant: Pick<Tenant, 'slug' | 'databaseId'>): TenantPool
  /** Closes the tenant's connections in this process; those in use when they are released. */
  disconnect(tenant: Pick<Tenant, 'databaseId'>): void
  /** Runs work outside of requests with the tenant and its pool as the current ones, and without a user. */
  runWithTenant<Result>(tenant: Tenant, callback: () => Result): Result
}

/** Connects tenants to their databases through the scheduler. */
export function createTenantConnections({
  scheduler,
  records,
  databases,
}: {
  readonly scheduler: ConnectionScheduler
  readonly records: Pick<TenantDatabaseRecords, 'find'>
  readonly databases: Pick<TenantDatabases, 'targetOf' | 'expectedAccount' | 'demandSchema'>
}): TenantConnections {
  /** Runs before each new connection, so that a database that was restored, retired or left behind is noticed. */
  async function resolveTarget(slug: string, databaseId: string) {
    const database = await records.find(databaseId)
    if (database?.state !== 'assigned') throw withoutDatabase(slug)
    await databases.demandSchema(database, slug)
    return databases.targetOf(database)
  }

  function pool(tenant: Pick<Tenant, 'slug' | 'databaseId'>): TenantPool {
    requireTenant(tenant)
    const { slug, databaseId } = tenant
    if (databaseId === null) throw withoutDatabase(slug)
    const expectedAccount = () => databases.expectedAccount(databaseId)
    return scheduler.pool(databaseId, () => resolveTarget(slug, databaseId), slug, expectedAccount)
  }

  return {
    pool,
    disconnect: ({ databaseId }) => {
      if (databaseId !== null) scheduler.disconnect(databaseId)
    },
    runWithTenant(tenant, callback) {
      if (tenant.status === 'suspended') throw new TenancyError('TENANCY_TENANT_SUSPENDED')
      if (tenant.status === 'deleted') throw new TenancyError('TENANCY_TENANT_DELETED')
      const context = {
        user: undefined,
        tenant,
        membership: undefined,
        access: undefined,
        token: undefined,
        pool: () => pool(tenant),
      }
      return runWithContext(Object.freeze(context), callback)
    },
  }
}

/** Callers in JavaScript pass whatever a query found: nothing, or a row of another table. */
function requireTenant(tenant: unknown): void {
  const isTenant =
    typeof tenant === 'object' &&
    tenant !== null &&
    'databaseId' in tenant &&
    (tenant.databaseId === null || typeof tenant.databaseId === 'string') &&
    'slug' in tenant &&
    typeof tenant.slug === 'string'
  if (isTenant) return
  throw new TenancyError(
    'TENANCY_TENANT_NOT_FOUND',
    'No tenant was given: pass what findTenant, getTenant or createTenant gave, once it is there',
  )
}

function withoutDatabase(slug: string): TenancyError {
  return new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${slug}" has no database in use`)
}
