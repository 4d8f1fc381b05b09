import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'

/** An invitation of an e-mail address into a tenant. */
export interface Invitation {
  /** A UUIDv7. */
  readonly id: string
  readonly tenantId: string
  /** The invited address, in its one spelling. */
  readonly email: string
  /** Names of the roles that are given at acceptance, sorted. One that was deleted meanwhile is missing. */
  readonly roles: readonly string[]
  /** Id of the user who sent it last; null: an operator of the installation. */
  readonly invitedBy: string | null
  readonly state: 'open' | 'expired' | 'accepted' | 'withdrawn'
  /** How often a token was made. */
  readonly sends: number
  readonly sentAt: Date
  readonly expiresAt: Date
  /** Id of the user; null: nobody, or a user who no longer exists. */
  readonly acceptedBy: string | null
  /**
   * When an acceptance was refused first, because the inviter may no longer invite or no longer give the roles; null: none was,
   * or the invitation was sent again since.
   */
  readonly refusedAt: Date | null
  readonly createdAt: Date
}

/** The permission by which members invite, in `managementAccess`. An application may let them by another one. */
export const invitingPermission = 'members:create'

/** Reads a row of `invitations` as an {@link Invitation}. */
export const invitationList = `
  id, tenant_id as "tenantId", email, invited_by as "invitedBy", sends, sent_at as "sentAt", expires_at as "expiresAt",
  case when state = 'open' and expires_at <= now() then 'expired' else state end as state,
  accepted_by as "acceptedBy", refused_at as "refusedAt", created_at as "createdAt",
  array(select role.name from roles as role where role.id = any (role_ids) order by role.name) as roles`

/**
 * Finds an invitation that can still be sent, also one that has expired, and locks it, because old ones are removed without the
 * tenant's lock. Call it with the tenant's row locked.
 *
 * @throws {@link TenancyError} TENANCY_INVITATION_NOT_FOUND
 */
export async function findOpenInvitation(client: SqlClient, tenantId: string, id: string): Promise<Invitation> {
  const { rows } = await client.query<Invitation>(
    `select ${invitationList} from invitations where tenant_id = $1 and id = $2 and state = 'open' for no key update`,
    [tenantId, id],
  )
  if (rows[0] !== undefined) return rows[0]
  throw new TenancyError('TENANCY_INVITATION_NOT_FOUND', `The tenant ${tenantId} has no open invitation ${id}`)
}

/** Finds the invitation of an address that is open or has expired, as {@link findOpenInvitation} does. */
export async function findInvitationOf(
  client: SqlClient,
  tenantId: string,
  email: string,
): Promise<Invitation | undefined> {
  const { rows } = await client.query<Invitation>(
    `select ${invitationList} from invitations where tenant_id = $1 and email = $2 and state = 'open' for no key update`,
    [tenantId, email],
  )
  return rows[0]
}

/** Shows an address to somebody who may not know it: `a…@example.com`. The audit log, which nobody can erase, has no more. */
export function maskedAddress(email: string): string {
  const [first = ''] = email
  return `${first}…${email.slice(email.lastIndexOf('@'))}`
}
