import { selectList } from '../../core/columns.js'
import { TenancyError } from '../../core/errors/errors.js'
import { membershipColumns, type UserTenant } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { hashOfToken } from './invitation-token.js'

interface Acceptance extends UserTenant {
  readonly outcome: 'joined' | 'invalid' | 'member' | 'full' | 'authority'
  readonly members: number | null
  readonly slug: string | null
  readonly maxUsers: number | null
}

const acceptQuery = (hash: string) => `
  select outcome, members, (tenant).slug as slug, (tenant).max_users as "maxUsers",
    ${selectList(membershipColumns, { table: '(joined)' })}
  from accept_invitation(${hash}, $2)`
const byToken = acceptQuery('$1')
const byId = acceptQuery('(select token_hash from invitations where id = $1)')

/**
 * Makes a user a member by a token: one statement, which is a transaction of its own. The rules are the function's, in
 * `migrations/0015_rights_that_end.sql`.
 *
 * @throws {@link TenancyError} TENANCY_INVITATION_INVALID, TENANCY_INVITATION_AUTHORITY_LOST, TENANCY_MEMBER_EXISTS,
 *   TENANCY_MEMBER_LIMIT_REACHED
 */
export async function acceptInvitation(catalog: SqlPool, token: string, userId: string): Promise<UserTenant> {
  const hash = hashOfToken(token)
  if (hash === undefined) throw invalidInvitation()
  return accept(catalog, byToken, [hash, userId])
}

/** Makes a user a member by the id of an invitation of their address, as {@link acceptInvitation} does. */
export function acceptInvitationById(catalog: SqlPool, id: string, userId: string): Promise<UserTenant> {
  return accept(catalog, byId, [id, userId])
}

async function accept(catalog: SqlPool, query: string, values: readonly [unknown, string]): Promise<UserTenant> {
  const [, userId] = values
  const { rows } = await queryAudited<Acceptance>(catalog, query, [...values])
  const { outcome = 'invalid', members, slug, maxUsers, ...membership } = rows[0] ?? ({} as Partial<Acceptance>)
  switch (outcome) {
    case 'joined':
      return membership as UserTenant
    case 'member':
      throw new TenancyError('TENANCY_MEMBER_EXISTS', `The user ${userId} is in the tenant "${slug}" already`)
    case 'full':
      throw new TenancyError(
        'TENANCY_MEMBER_LIMIT_REACHED',
        `The tenant "${slug}" may have ${maxUsers} members and has ${members}: raise maxUsers or remove a member`,
      )
    case 'authority':
      throw new TenancyError(
        'TENANCY_INVITATION_AUTHORITY_LOST',
        `Whoever invited into the tenant "${slug}" may no longer invite, or no longer give the roles of the invitation`,
      )
    default:
      throw invalidInvitation()
  }
}

/** One error for every reason, so that it tells a stranger nothing. */
function invalidInvitation(): TenancyError {
  return new TenancyError(
    'TENANCY_INVITATION_INVALID',
    'The invitation is unknown, used, over or withdrawn, is for another address, or its tenant is not active',
  )
}
