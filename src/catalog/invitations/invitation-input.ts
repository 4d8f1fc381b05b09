import { z } from 'zod'
import type { RoleName } from '../../core/access/access.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { actor, name, schemaOf, tenant, user } from '../input.js'

/** An address to invite. */
export interface NewInvitationInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** The e-mail address to invite. */
  readonly email: string
  /** Names of roles, built in or the tenant's own, at most 100. */
  readonly roles: readonly RoleName[]
  /** From an hour to 30 days. Default: 7 days. */
  readonly expiresInSeconds?: number | undefined
}

/** An invitation to withdraw. */
export interface InvitationChangeInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the invitation. */
  readonly invitation: string
}

/** An invitation to send again. */
export interface InvitationResendInput extends InvitationChangeInput {
  /** From an hour to 30 days, from now. Default: 7 days. */
  readonly expiresInSeconds?: number | undefined
}

/** Which invitations to list. */
export interface InvitationListInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the last invitation of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** The token of an invitation, as it was sent. */
export interface InvitationTokenInput {
  readonly token: string
}

/** An invitation to accept. */
export interface AcceptInvitationInput extends InvitationTokenInput {
  /** Id of the user who accepts: the one who is logged in. */
  readonly user: string
}

const expiresInSeconds = z
  .int()
  .min(3600, 'must be at least an hour')
  .max(30 * 86_400, 'must be at most 30 days')
  .default(7 * 86_400)
const invitation = z.guid('is not the id of an invitation (a UUID)').transform((id) => id.toLowerCase())
const token = z.string('must be the token of an invitation, as text')

export const newInvitationInput = schemaOf<NewInvitationInput>()(
  z.strictObject({
    tenant,
    email: z.string('must be text'),
    roles: z.array(name).max(100).readonly(),
    expiresInSeconds,
    actor,
  }),
)
export const invitationChangeInput = schemaOf<InvitationChangeInput>()(z.strictObject({ tenant, invitation, actor }))
export const invitationResendInput = schemaOf<InvitationResendInput>()(
  z.strictObject({ tenant, invitation, expiresInSeconds, actor }),
)
export const invitationListInput = schemaOf<InvitationListInput>()(
  z.strictObject({
    tenant,
    after: z.guid().optional(),
    limit: z.int().min(1).max(1000).default(100),
  }),
)
export const invitationTokenInput = schemaOf<InvitationTokenInput>()(z.strictObject({ token }))
export const acceptInvitationInput = schemaOf<AcceptInvitationInput>()(z.strictObject({ token, user }))
