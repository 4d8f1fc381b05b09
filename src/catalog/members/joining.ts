import { selectList } from '../../core/columns.js'
import { TenancyError } from '../../core/errors/errors.js'
import { membershipColumns, type UserTenant } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { queryAudited } from '../../postgres/audited-query.js'

interface Joining extends UserTenant {
  readonly outcome: string
  readonly members: number | null
  readonly slug: string | null
  readonly maxUsers: number | null
}

/** SQL: what a function of the catalog answers that makes a user a member, `accept_invitation` or `join_by_domain`. */
export function joiningQuery(call: string): string {
  return `
  select outcome, members, (tenant).slug as slug, (tenant).max_users as "maxUsers",
    ${selectList(membershipColumns, { table: '(joined)' })}
  from ${call}`
}

/**
 * Makes a user a member by a {@link joiningQuery}: one statement, which is a transaction of its own.
 *
 * @param values the second one is the user's id
 * @param refusalOf the error for an outcome that is the query's own
 * @throws {@link TenancyError} TENANCY_MEMBER_EXISTS, TENANCY_MEMBER_LIMIT_REACHED, and what `refusalOf` gives
 */
export async function join(
  catalog: SqlPool,
  query: string,
  values: readonly [unknown, string],
  refusalOf: (outcome: string | undefined, slug: string | null) => TenancyError,
): Promise<UserTenant> {
  const { rows } = await queryAudited<Joining>(catalog, query, [...values])
  const [row] = rows
  if (row === undefined) throw refusalOf(undefined, null)
  const { outcome, members, slug, maxUsers, ...membership } = row
  switch (outcome) {
    case 'joined':
      return membership
    case 'member':
      throw memberExists(values[1], slug)
    case 'full':
      throw tenantFull({ slug, maxUsers, members })
    default:
      throw refusalOf(outcome, slug)
  }
}

/** The error for a user who is in the tenant already. */
export function memberExists(userId: string, slug: string | null): TenancyError {
  return new TenancyError('TENANCY_MEMBER_EXISTS', `The user ${userId} is in the tenant "${slug}" already`)
}

/** The error for a tenant that has as many members as it may have. */
export function tenantFull({ slug, maxUsers, members }: Pick<Joining, 'slug' | 'maxUsers' | 'members'>): TenancyError {
  return new TenancyError(
    'TENANCY_MEMBER_LIMIT_REACHED',
    `The tenant "${slug}" may have ${maxUsers} members and has ${members}: raise maxUsers or remove a member`,
  )
}
