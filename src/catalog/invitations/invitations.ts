import { v7 as uuidv7 } from 'uuid'
import { TenancyError } from '../../core/errors/errors.js'
import { normalizeEmail } from '../../core/identity/email.js'
import type { UserTenant } from '../../core/model.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { refuseToChangeInvitation, refuseToGiveMore } from '../access/authority.js'
import { commitChange, findRoles } from '../access/lookup.js'
import { createChange, type TenantScope } from '../change.js'
import { parse } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder, type Transaction } from '../transaction.js'
import { acceptInvitation } from './accept-invitation.js'
import {
  acceptInvitationInput,
  type AcceptInvitationInput,
  invitationChangeInput,
  type InvitationChangeInput,
  invitationListInput,
  type InvitationListInput,
  invitationResendInput,
  type InvitationResendInput,
  invitationTokenInput,
  type InvitationTokenInput,
  newInvitationInput,
  type NewInvitationInput,
} from './invitation-input.js'
import {
  findInvitationOf,
  findOpenInvitation,
  type Invitation,
  invitationList,
  invitingPermission,
  maskedAddress,
} from './invitation-row.js'
import { hashOfToken, newInvitationToken } from './invitation-token.js'

/** An invitation that was sent, with its token, which is shown this once. */
export interface SentInvitation {
  readonly invitation: Invitation
  /** 43 characters of `[A-Za-z0-9_-]`. The catalog has only its hash. */
  readonly token: string
}

/** What a page may show of an invitation before anybody has logged in. */
export interface InvitationPreview {
  readonly tenantName: string
  /** The first character of the address and its domain: `a…@example.com`. */
  readonly email: string
  readonly expiresAt: Date
}

/**
 * Invitations by e-mail address. No function sends mail: the application does, with the token. Every change is one transaction
 * with its audit entry, which has the address only masked.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface Invitations {
  /**
   * Invites an address. If it has an open invitation already, that one gets these roles, this inviter and a new token, and its old token
   * is void. The answer is the same whether or not anybody has an account with this address.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (not active), TENANCY_ACCOUNTS_EMAIL_INVALID,
   *   TENANCY_MEMBER_EXISTS, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_GRANT_REFUSED, TENANCY_ACCESS_CHANGE_REFUSED (the
   *   address is invited with roles that the actor does not hold)
   */
  createInvitation(input: NewInvitationInput): Promise<SentInvitation>
  /** Lists a tenant's invitations in the order of creation; those that ended more than 30 days ago may be gone. @throws TENANCY_TENANT_NOT_FOUND */
  listInvitations(input: InvitationListInput): Promise<Invitation[]>
  /**
   * Makes a new token for an open or expired invitation; the old one is void. The actor becomes its inviter.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (not active), TENANCY_INVITATION_NOT_FOUND,
   *   TENANCY_ACCESS_GRANT_REFUSED
   */
  resendInvitation(input: InvitationResendInput): Promise<SentInvitation>
  /**
   * Withdraws an open or expired invitation.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_INVITATION_NOT_FOUND, TENANCY_ACCESS_CHANGE_REFUSED
   */
  withdrawInvitation(input: InvitationChangeInput): Promise<Invitation>
  /** Finds a usable invitation by its token; undefined for every other text. */
  findInvitation(input: InvitationTokenInput): Promise<InvitationPreview | undefined>
  /**
   * Makes a user a member with the roles of the invitation, once. The user's address must be verified and be the invited one, and the
   * inviter must still be able to give the roles, and hold `members:create` if they did when they sent it. A refusal for this
   * reason is in the audit log, and in the invitation's `refusedAt`.
   * @throws TENANCY_INVITATION_INVALID (for whatever reason: unknown, used, over, withdrawn, another address, tenant not active),
   *   TENANCY_INVITATION_AUTHORITY_LOST, TENANCY_MEMBER_EXISTS, TENANCY_MEMBER_LIMIT_REACHED
   */
  acceptInvitation(input: AcceptInvitationInput): Promise<UserTenant>
}

/** Creates the service for invitations. */
export function createInvitations({ catalog }: { readonly catalog: SqlPool }): Invitations {
  const change = createChange(catalog)
  return {
    createInvitation: change.ofTenant(newInvitationInput, create),

    async listInvitations(input) {
      const { tenant, after, limit } = parse(invitationListInput, input)
      const { id } = await findTenant(catalog, tenant)
      const { rows } = await catalog.query<Invitation>(
        `select ${invitationList} from invitations
         where tenant_id = $1 and ($2::uuid is null or id > $2) order by id limit $3`,
        [id, after ?? null, limit],
      )
      return rows
    },

    resendInvitation: change.ofTenant(invitationResendInput, async (client, input, scope) => {
      const [, { id, email, roles }] = await inOrder([
        requireActive(client, scope.tenantId),
        findOpenInvitation(client, scope.tenantId, input.invitation),
      ])
      await refuseToGiveMore(client, scope, { roles })
      return send(client, scope, { id, email, roles, expiresInSeconds: input.expiresInSeconds }, 'invitation.resend')
    }),

    withdrawInvitation: change.ofTenant(invitationChangeInput, async (client, input, scope) => {
      const { id, email, roles, invitedBy } = await findOpenInvitation(client, scope.tenantId, input.invitation)
      await refuseToChangeInvitation(client, scope, id, invitedBy === scope.actorId ? [] : roles)
      const [{ rows }] = await inOrder([
        client.query<Invitation>(
          `update invitations set state = 'withdrawn', ended_at = now() where id = $1 returning ${invitationList}`,
          [id],
        ),
        commitChange(client, scope, 'invitation.withdraw', `invitation:${id}`, { email: maskedAddress(email) }, null),
      ])
      return rows[0] as Invitation
    }),

    async findInvitation(input) {
      const hash = hashOfToken(parse(invitationTokenInput, input).token)
      if (hash === undefined) return undefined
      const { rows } = await catalog.query<InvitationPreview>(
        `select tenants.name as "tenantName", email, expires_at as "expiresAt"
         from invitations join tenants on tenants.id = tenant_id
         where token_hash = $1 and state = 'open' and expires_at > now() and tenants.status = 'active'`,
        [hash],
      )
      return rows[0] && { ...rows[0], email: maskedAddress(rows[0].email) }
    },

    async acceptInvitation(input) {
      const { token, user } = parse(acceptInvitationInput, input)
      return acceptInvitation(catalog, token, user)
    },
  }
}

async function create(
  client: Transaction,
  input: NewInvitationInput & { readonly expiresInSeconds: number },
  scope: TenantScope,
): Promise<SentInvitation> {
  const email = normalizeEmail(input.email)
  if (email === undefined) {
    throw new TenancyError(
      'TENANCY_ACCOUNTS_EMAIL_INVALID',
      `${JSON.stringify(input.email.slice(0, 320))} is no e-mail address`,
    )
  }
  const roles = [...new Set(input.roles)].toSorted()
  const [, given, , , open] = await inOrder([
    requireActive(client, scope.tenantId),
    findRoles(client, scope.tenantId, roles, { lock: true }),
    refuseToGiveMore(client, scope, { roles }),
    refuseMember(client, scope.tenantId, email),
    findInvitationOf(client, scope.tenantId, email),
  ])
  if (open !== undefined && open.invitedBy !== scope.actorId) {
    await refuseToChangeInvitation(client, scope, open.id, open.roles)
  }
  const { expiresInSeconds } = input
  const roleIds = given.map((role) => role.id)
  const id = open?.id ?? uuidv7()
  return send(client, scope, { id, email, roles, roleIds, expiresInSeconds }, 'invitation.create')
}

/** What is written of an invitation that is sent. */
interface Sending {
  readonly id: string
  readonly email: string
  readonly roles: readonly string[]
  /** Default: those that the invitation has. */
  readonly roleIds?: readonly string[]
  readonly expiresInSeconds: number
}

async function send(
  client: Transaction,
  scope: TenantScope,
  { id, email, roles, roleIds, expiresInSeconds }: Sending,
  action: string,
): Promise<SentInvitation> {
  const token = newInvitationToken()
  const [{ rows }] = await inOrder([
    client.query<Invitation>(
      `insert into invitations as invitation
         (id, tenant_id, email, role_ids, token_hash, invited_by, expires_at, permission_id)
       values ($1, $2, $3, coalesce($4::uuid[], '{}'), $5, $6, now() + make_interval(secs => $7), (
         select permission.id from permissions as permission, missing_access($2, $6, '{}', array[$8::text], null, '-infinity') as lacks
         where permission.name = $8 and lacks.missing_permissions = '{}'
       ))
       on conflict (id) do update set role_ids = coalesce($4::uuid[], invitation.role_ids), token_hash = $5, invited_by = $6,
         expires_at = excluded.expires_at, permission_id = excluded.permission_id, refused_at = null,
         sent_at = now(), sends = invitation.sends + 1
       returning ${invitationList}`,
      [
        ...[id, scope.tenantId, email, roleIds ?? null, hashOfToken(token), scope.actorId, expiresInSeconds],
        invitingPermission,
      ],
    ),
    removeOld(client),
    commitChange(client, scope, action, `invitation:${id}`, null, {
      email: maskedAddress(email),
      roles,
      expiresInSeconds,
    }),
  ])
  return { invitation: rows[0] as Invitation, token }
}

/** Removes more rows than one call can add, so that they do not pile up. */
async function removeOld(client: SqlClient): Promise<void> {
  await client.query(
    `delete from invitations where id = any (array(
       select id from invitations where coalesce(ended_at, expires_at) < now() - interval '30 days'
       order by coalesce(ended_at, expires_at) limit 8 for update skip locked
     ))`,
  )
}

/** @throws {@link TenancyError} TENANCY_TENANT_STATE_CONFLICT */
async function requireActive(client: SqlClient, tenantId: string): Promise<void> {
  const { slug, status } = await findTenant(client, tenantId)
  if (status === 'active') return
  throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${slug}" is ${status}: it invites nobody`)
}

/** @throws {@link TenancyError} TENANCY_MEMBER_EXISTS */
async function refuseMember(client: SqlClient, tenantId: string, email: string): Promise<void> {
  const { rowCount } = await client.query(
    `select from users join user_tenants on user_id = users.id 
     where lower(email) = lower($2) and plain_address(email) = $2 and tenant_id = $1`,
    [tenantId, email],
  )
  if (rowCount !== 0) {
    throw new TenancyError('TENANCY_MEMBER_EXISTS', `${maskedAddress(email)} is in the tenant ${tenantId} already`)
  }
}
