import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'

/** How long a build or a drop counts as under way after the last renewal by its process. */
export const leaseMs = 15_000

/** Renews the lease of a build or drop until the function that is returned is called. */
export function keepLease(records: Pick<TenantDatabaseRecords, 'renewLease'>, id: string, lease: string): () => void {
  // A failed renewal is no error: the lease may expire, and then another process finishes the work.
  const renew = () => void records.renewLease(id, lease, leaseMs).catch(() => {})
  const timer = setInterval(renew, leaseMs / 3)
  return () => clearInterval(timer)
}
