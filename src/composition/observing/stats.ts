import type { MemberTier, SharedCacheStats } from '../../cache/redis/redis.js'
import type { TenantUse } from '../../connections/allocation/busiest-tenants.js'
import type { ConnectionScheduler } from '../../connections/scheduler.js'
import type { SchedulerStats } from '../../connections/stats.js'

/** What one tenant uses of this process's connections. */
export interface TenantStats extends Omit<TenantUse, 'key' | 'label'> {
  readonly slug: string
  readonly databaseId: string
}

/** The connections of one process to tenant databases, and the results of its reads from Redis. */
export interface TenancyStats extends SchedulerStats {
  /** undefined: no Redis is configured. */
  readonly sharedCache: SharedCacheStats | undefined
  /** At most 20: those that use or wait for most connections, these first. */
  readonly tenants: readonly TenantStats[]
}

const shownTenants = 20

/** Reads the current numbers; looks at each tenant that has a connection or a waiter. */
export function readStats(
  scheduler: Pick<ConnectionScheduler, 'stats' | 'busiestTenants'>,
  redis: Pick<MemberTier, 'stats'> | undefined,
): TenancyStats {
  const tenants = scheduler
    .busiestTenants(shownTenants)
    .map(({ key, label, ...use }) => ({ slug: label, databaseId: key, ...use }))
  return { ...scheduler.stats(), sharedCache: redis?.stats(), tenants }
}
