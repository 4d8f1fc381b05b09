import type { Count, Counted, SharedCounts } from '../../core/shared-counts.js'
import { tooMany } from './counts.js'
import { createMemoryCounts, createUsedUpKeys } from './memory-counts.js'

/** How many requests are answered. */
export interface ApiLimits {
  /** Changes by one user a minute, in all processes together. Default: 120. */
  readonly changesPerUser?: number
  /** Changes in one tenant a minute, in all processes together. Default: 1200. */
  readonly changesPerTenant?: number
  /** Reads by one user a minute, in each process. Default: 1200. */
  readonly readsPerUser?: number
  /**
   * Requests a minute from one address whose sender is not known: without a token, with one that is refused, for a path that
   * nothing is at. Counted in each process. Default: 300.
   */
  readonly strangersPerAddress?: number
  /** Mails a day to one address from one tenant, with invitations. Default: 5. */
  readonly invitationsPerAddress?: number
  /** Mails an hour of one invitation. Default: 3. */
  readonly sendsPerInvitation?: number
  /** Mails a day with invitations from one tenant. Default: 500. */
  readonly invitationsPerTenant?: number
  /** Seconds between two mails to one address from one tenant, with invitations; 0: none. Default: 60. */
  readonly secondsBetweenInvitations?: number
}

/** Who sends a request, and whether it changes something. */
export interface LimitedRequest {
  /** Id of the user; undefined: nobody is known. */
  readonly user: string | undefined
  /** Finds the network that the request comes from. */
  readonly address: () => string
  readonly tenant: string | undefined
  readonly isChange: boolean
}

/** Headers of an answer (draft-ietf-httpapi-ratelimit-headers). */
export type LimitHeaders = Readonly<Record<string, string>>

/** Counts requests. */
export interface RequestLimits {
  /**
   * Counts a request: a change of a user in one statement, anything else in memory and at once.
   *
   * @throws {@link TenancyError}, at once or as a rejection: TENANCY_REQUEST_TOO_MANY with `retryAfterSeconds`;
   *   TENANCY_CATALOG_UNAVAILABLE: a change is refused while it cannot be counted
   */
  count(request: LimitedRequest): LimitHeaders | Promise<LimitHeaders>
}

const windowSeconds = 60

/**
 * Creates the limits of the management API. Changes are counted where all processes see them; reads, and what nobody known
 * sends, in memory, as they cost no more than that.
 */
export function createRequestLimits(counts: SharedCounts, most: ApiLimits = {}): RequestLimits {
  const { changesPerUser = 120, changesPerTenant = 1200, readsPerUser = 1200, strangersPerAddress = 300 } = most
  const readers = createMemoryCounts(readsPerUser, windowSeconds)
  const strangers = createMemoryCounts(strangersPerAddress, windowSeconds)
  // Until their window ends, further requests cost no statement.
  const usedUp = createUsedUpKeys()

  async function countChange(user: string, tenant: string | undefined): Promise<LimitHeaders> {
    // Narrow before wide: what a user is refused does not count against the others of the tenant.
    const counted: Counted[] = [{ key: `user:${user}`, points: changesPerUser, windowSeconds }]
    if (tenant !== undefined) counted.push({ key: `tenant:${tenant}`, points: changesPerTenant, windowSeconds })
    for (const { key } of counted) usedUp.check(key)
    const found = await counts.count(counted)
    for (const [index, { key, points }] of counted.entries()) {
      const count = found[index]
      if (count !== undefined && count.consumed <= points) continue
      const msLeft = Math.min(Math.max(count?.msLeft ?? 1000, 1), windowSeconds * 1000)
      usedUp.block(key, msLeft)
      throw tooMany(msLeft)
    }
    return headersOf('changes', changesPerUser, found[0])
  }

  return {
    count({ user, address, tenant, isChange }) {
      if (user === undefined) return headersOf('strangers', strangersPerAddress, strangers.consume(address()))
      if (isChange) return countChange(user, tenant)
      return headersOf('reads', readsPerUser, readers.consume(user))
    },
  }
}

function headersOf(name: string, points: number, count: Count | undefined): LimitHeaders {
  const { consumed, msLeft } = count ?? { consumed: points, msLeft: windowSeconds * 1000 }
  return {
    'ratelimit-policy': `"${name}";q=${points};w=${windowSeconds}`,
    ratelimit: `"${name}";r=${Math.max(0, points - consumed)};t=${Math.ceil(msLeft / 1000)}`,
  }
}
