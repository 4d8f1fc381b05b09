import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import type { UserTenant } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { parse, schemaOf, user } from '../input.js'
import { acceptInvitationById } from './accept-invitation.js'
import { maskedAddress } from './invitation-row.js'

/** An open invitation of a user's address, as that user sees it. */
export interface OwnInvitation {
  readonly id: string
  readonly tenantId: string
  readonly tenantName: string
  readonly slug: string
  /** Names of the roles that are given at acceptance, sorted. */
  readonly roles: readonly string[]
  readonly sentAt: Date
  readonly expiresAt: Date
}

/** Which invitations to list. */
export interface OwnInvitationListInput {
  /** Id of the user. */
  readonly user: string
  /** Id of the last invitation of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** An invitation that its user answers. */
export interface OwnInvitationInput {
  /** Id of the invitation. */
  readonly invitation: string
  /** Id of the user who answers: the one who is logged in. */
  readonly user: string
}

/**
 * Invitations of a user's own address, which must be verified: it says as much as the token does, which was sent there. For
 * anybody else they do not exist.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface OwnInvitations {
  /** Lists the usable invitations of a user's address in the order of creation. */
  listOwnInvitations(input: OwnInvitationListInput): Promise<OwnInvitation[]>
  /**
   * Accepts an invitation as `acceptInvitation` does, without its token.
   * @throws TENANCY_INVITATION_INVALID, TENANCY_INVITATION_AUTHORITY_LOST, TENANCY_MEMBER_EXISTS, TENANCY_MEMBER_LIMIT_REACHED
   */
  acceptOwnInvitation(input: OwnInvitationInput): Promise<UserTenant>
  /** Ends an invitation; the tenant may invite again. @throws TENANCY_INVITATION_INVALID */
  declineInvitation(input: OwnInvitationInput): Promise<void>
}

const invitation = z.guid('is not the id of an invitation (a UUID)').transform((id) => id.toLowerCase())
const listInput = schemaOf<OwnInvitationListInput>()(
  z.strictObject({ user, after: z.guid().optional(), limit: z.int().min(1).max(1000).default(100) }),
)
const answerInput = schemaOf<OwnInvitationInput>()(z.strictObject({ invitation, user }))

/** SQL: the user $1 owns the address of the invitation. */
const isInvited = `users.id = $1 and users.email_verified and users.disabled_at is null
  and invitations.email = plain_address(users.email) and invitations.state = 'open'`

/** Creates the service for the invitations of one's own address. */
export function createOwnInvitations({ catalog }: { readonly catalog: SqlPool }): OwnInvitations {
  return {
    async listOwnInvitations(input) {
      const { user: who, after, limit } = parse(listInput, input)
      const { rows } = await catalog.query<OwnInvitation>(
        `select invitations.id, tenant_id as "tenantId", tenants.name as "tenantName", tenants.slug,
           sent_at as "sentAt", invitations.expires_at as "expiresAt",
           array(select role.name from roles as role where role.id = any (role_ids) order by role.name) as roles
         from users join invitations on ${isInvited} join tenants on tenants.id = tenant_id
         where invitations.expires_at > now() and tenants.status = 'active' and ($2::uuid is null or invitations.id > $2)
         order by invitations.id limit $3`,
        [who, after ?? null, limit],
      )
      return rows
    },

    async acceptOwnInvitation(input) {
      const given = parse(answerInput, input)
      return acceptInvitationById(catalog, given.invitation, given.user)
    },

    async declineInvitation(input) {
      const given = parse(answerInput, input)
      const { rows } = await catalog.query<{ email: string }>(
        `select invitations.email from users join invitations on ${isInvited} and invitations.id = $2`,
        [given.user, given.invitation],
      )
      // The audit log, which nobody can erase, has the address only masked.
      const email = maskedAddress(rows[0]?.email ?? '')
      const { rowCount } = await queryAudited(
        catalog,
        `with ended as (
           update invitations set state = 'withdrawn', ended_at = now() from users
           where ${isInvited} and invitations.id = $2 returning invitations.id, tenant_id
         )
         insert into audit_log (actor_id, tenant_id, action, subject, before)
         select $1, tenant_id, 'invitation.decline', 'invitation:' || id, $3 from ended`,
        [given.user, given.invitation, { email }],
      )
      if (rowCount === 0) {
        throw new TenancyError('TENANCY_INVITATION_INVALID', 'The invitation is unknown, over, or for another address')
      }
    },
  }
}
