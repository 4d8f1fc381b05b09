import { TenancyError } from '../../core/errors/errors.js'
import type { UserTenant } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { join, joiningQuery } from '../members/joining.js'
import { hashOfToken } from './invitation-token.js'

const acceptQuery = (hash: string) => joiningQuery(`accept_invitation(${hash}, $2)`)
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
  return join(catalog, byToken, [hash, userId], refusalOf)
}

/** Makes a user a member by the id of an invitation of their address, as {@link acceptInvitation} does. */
export function acceptInvitationById(catalog: SqlPool, id: string, userId: string): Promise<UserTenant> {
  return join(catalog, byId, [id, userId], refusalOf)
}

function refusalOf(outcome: string | undefined, slug: string | null): TenancyError {
  if (outcome !== 'authority') return invalidInvitation()
  return new TenancyError(
    'TENANCY_INVITATION_AUTHORITY_LOST',
    `Whoever invited into the tenant "${slug}" may no longer invite, or no longer give the roles of the invitation`,
  )
}

/** One error for every reason, so that it tells a stranger nothing. */
function invalidInvitation(): TenancyError {
  return new TenancyError(
    'TENANCY_INVITATION_INVALID',
    'The invitation is unknown, used, over or withdrawn, is for another address, or its tenant is not active',
  )
}
