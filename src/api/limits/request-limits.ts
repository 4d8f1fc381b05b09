import { RateLimiterMemory, RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/catalog-outage.js'

/** How many requests a minute are answered. */
export interface ApiLimits {
  /** Changes by one user, in all processes together. Default: 120. */
  readonly changesPerUser?: number
  /** Changes in one tenant, in all processes together. Default: 1200. */
  readonly changesPerTenant?: number
  /** Reads by one user, in each process. Default: 1200. */
  readonly readsPerUser?: number
}

/** Who sends a request, and whether it changes something. */
export interface LimitedRequest {
  readonly user: string
  readonly tenant: string | undefined
  readonly isChange: boolean
}

/** Counts requests. */
export interface RequestLimits {
  /**
   * Counts a request.
   *
   * @returns headers of its answer (draft-ietf-httpapi-ratelimit-headers)
   * @throws {@link TenancyError} TENANCY_REQUEST_TOO_MANY with `retryAfterSeconds`; TENANCY_CATALOG_UNAVAILABLE: a change is
   *   refused while it cannot be counted
   */
  count(request: LimitedRequest): Promise<Readonly<Record<string, string>>>
}

const windowSeconds = 60

/**
 * Creates the limits of the management API. Changes are counted in the catalog, where all processes see them; reads in
 * memory, as they cost no more than that.
 */
export function createRequestLimits(
  catalog: SqlClient,
  { changesPerUser = 120, changesPerTenant = 1200, readsPerUser = 1200 }: ApiLimits = {},
): RequestLimits {
  const storeClient = {
    query: ({ text, values }: { readonly text: string; readonly values: unknown[] }) => catalog.query(text, values),
  }
  const shared = (keyPrefix: string, points: number) =>
    new RateLimiterPostgres({
      ...{ storeClient, storeType: 'pool', tableName: 'limited_requests', tableCreated: true },
      ...{ keyPrefix, points, duration: windowSeconds, inMemoryBlockOnConsumed: points + 1 },
    })
  const users = shared('user', changesPerUser)
  const tenants = shared('tenant', changesPerTenant)
  const readers = new RateLimiterMemory({ keyPrefix: 'reader', points: readsPerUser, duration: windowSeconds })

  return {
    async count({ user, tenant, isChange }) {
      if (!isChange) return headersOf('reads', readsPerUser, await settled(readers.consume(user)))
      // One after the other: what a user is refused does not count against the others of the tenant.
      const own = await settled(users.consume(user))
      if (tenant !== undefined) await settled(tenants.consume(tenant))
      return headersOf('changes', changesPerUser, own)
    },
  }
}

function settled(consumed: Promise<RateLimiterRes>): Promise<RateLimiterRes> {
  const counted = consumed.catch((refusal: unknown) => {
    throw refusal instanceof RateLimiterRes ? tooMany(refusal) : refusal
  })
  return catalogAnswer(counted, 'limits')
}

function tooMany({ msBeforeNext }: RateLimiterRes): TenancyError {
  const seconds = Math.max(1, Math.ceil(msBeforeNext / 1000))
  return new TenancyError('TENANCY_REQUEST_TOO_MANY', `Too many requests: wait ${seconds} s`, {
    retryAfterSeconds: seconds,
  })
}

function headersOf(name: string, points: number, { remainingPoints, msBeforeNext }: RateLimiterRes) {
  return {
    'ratelimit-policy': `"${name}";q=${points};w=${windowSeconds}`,
    ratelimit: `"${name}";r=${Math.max(0, remainingPoints)};t=${Math.ceil(msBeforeNext / 1000)}`,
  }
}
