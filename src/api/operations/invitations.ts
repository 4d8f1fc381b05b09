import { z } from '@hono/zod-openapi'
import type { Tenant, User } from '../../core/model.js'
import { TenancyError } from '../../core/errors/errors.js'
import { requireTenant } from '../../http/require-user.js'
import type { Tenancy } from '../../tenancy-interface.js'
import { defineOperation, type LostRequest, type Operation, type OperationSettings } from '../operation.js'
import { findMade } from '../serving/find-made.js'
import {
  defaultLimit,
  moment,
  momentOrNull,
  pageFrom,
  pageOf,
  pageQuery,
  roleName,
  tenantParams,
  userId,
} from './schemas.js'

const invitation = z.object({
  id: z.guid(),
  email: z.string(),
  roles: z.array(z.string()).readonly(),
  invitedBy: userId.nullable(),
  state: z.enum(['open', 'expired', 'accepted', 'withdrawn']),
  sends: z.number().int(),
  sentAt: moment,
  expiresAt: moment,
  acceptedBy: userId.nullable(),
  refusedAt: momentOrNull.openapi({
    description:
      'Since when it cannot be accepted, because the inviter may no longer invite or give its roles: send it again',
  }),
  createdAt: moment,
})
const sent = invitation
  .extend({
    token: z.string().nullable().openapi({
      description: 'For the link to the invited one, shown this once; null: it was sent, or this is a replay',
    }),
  })
  .openapi('SentInvitation')
const invitationParams = tenantParams.extend({ invitation: z.guid('must be a UUID') })
const expiresInSeconds = z.int().min(3600).max(2_592_000).optional().openapi({ description: 'Default: 7 days' })
const tokenBody = z.strictObject({ token: z.string().min(1).max(200) }).openapi('InvitationToken')
/** What a user has joined. */
export const acceptedInvitation = z.object({ tenantId: z.guid(), isDefault: z.boolean() }).openapi('AcceptedInvitation')
const path = '/tenants/{tenant}/invitations'

interface Sent {
  readonly invitation: z.input<typeof invitation>
  readonly token: string
}

/** Sends the token, if the application does that, and makes the answer. */
async function deliver({ invitation: made, token }: Sent, tenant: Tenant, user: User, settings: OperationSettings) {
  const { sendInvitation } = settings
  if (sendInvitation === undefined) return { ...made, token }
  try {
    await sendInvitation({ email: made.email, token, expiresAt: made.expiresAt, tenant, invitedBy: user })
  } catch (cause) {
    throw new TenancyError('TENANCY_INVITATION_NOT_SENT', undefined, { cause })
  }
  return { ...made, token: null }
}

/** What a lost request has made is found without its token. */
const recoveryOf = (action: string) => ({
  action,
  async find(
    { scope, tenancy }: { readonly scope: { readonly tenant: string }; readonly tenancy: Tenancy },
    lost: LostRequest,
  ) {
    return {
      ...(await findMade(lost, (page) => tenancy.listInvitations({ ...page, tenant: scope.tenant }))),
      token: null,
    }
  },
})

/** Invitations by e-mail address. */
export const invitationOperations: readonly Operation[] = [
  defineOperation({
    id: 'createInvitation',
    ...{ method: 'post', path, group: 'Invitations' },
    summary: 'Invites an address; an open invitation of it is replaced',
    access: { permission: 'members:create' },
    params: tenantParams,
    body: z
      .strictObject({
        email: z.string().min(1).max(320),
        roles: z.array(roleName).max(100).readonly(),
        expiresInSeconds,
      })
      .openapi('NewInvitation'),
    answer: { status: 201, description: 'The invitation', schema: sent },
    ...{ secrets: ['token'], refusals: [409, 422], recovery: recoveryOf('invitation.create') },
    async run({ context, body, user, tenancy, settings, invitationLimits }) {
      const tenant = requireTenant(context)
      await invitationLimits.count({ tenant: tenant.id, email: body.email })
      return deliver(
        await tenancy.createInvitation({ ...body, tenant: tenant.id, actor: user.id }),
        ...([tenant, user, settings] as const),
      )
    },
  }),
  defineOperation({
    id: 'listInvitations',
    ...{ method: 'get', path, group: 'Invitations' },
    summary: 'Lists invitations in the order of creation',
    access: { permission: 'members:read' },
    params: tenantParams,
    query: z.strictObject({ ...pageQuery, after: z.guid('must be the `next` of a page').optional() }),
    whileImpersonating: true,
    answer: {
      ...{ status: 200, description: 'A page of invitations' },
      schema: pageOf('Invitations', invitation.openapi('Invitation')),
    },
    async run({ context, query: { after, limit = defaultLimit }, tenancy }) {
      const tenant = requireTenant(context).id
      const found = await tenancy.listInvitations({ tenant, after, limit: limit + 1 })
      return pageFrom(found, limit, ({ id }) => id)
    },
  }),
  defineOperation({
    id: 'resendInvitation',
    ...{ method: 'post', path: `${path}/{invitation}/send`, group: 'Invitations' },
    summary: 'Sends an open or expired invitation again, with a new token',
    access: { permission: 'members:create' },
    params: invitationParams,
    body: z.strictObject({ expiresInSeconds }).openapi('InvitationResend'),
    answer: { status: 200, description: 'The invitation', schema: sent },
    ...{ secrets: ['token'], refusals: [409], recovery: recoveryOf('invitation.resend') },
    async run({ context, params, body, user, tenancy, settings, invitationLimits }) {
      const tenant = requireTenant(context)
      await invitationLimits.count({ tenant: tenant.id, invitation: params.invitation })
      return deliver(
        await tenancy.resendInvitation({
          ...{ ...body, invitation: params.invitation, tenant: tenant.id, actor: user.id },
        }),
        ...([tenant, user, settings] as const),
      )
    },
  }),
  defineOperation({
    id: 'withdrawInvitation',
    ...{ method: 'delete', path: `${path}/{invitation}`, group: 'Invitations' },
    summary: 'Withdraws an invitation',
    access: { permission: 'members:create' },
    params: invitationParams,
    whileImpersonating: true,
    answer: { status: 204, description: 'Withdrawn' },
    async run({ params, scope, tenancy }) {
      await tenancy.withdrawInvitation({ ...scope, invitation: params.invitation })
    },
  }),
  defineOperation({
    id: 'previewInvitation',
    ...{ method: 'post', path: '/invitations/preview', group: 'Invitations' },
    summary: 'Shows what an invitation is for, by its token',
    access: { anyone: true },
    body: tokenBody,
    answer: {
      ...{ status: 200, description: 'The tenant’s name, the address masked, and until when' },
      schema: z.object({ tenantName: z.string(), email: z.string(), expiresAt: moment }).openapi('InvitationPreview'),
    },
    async run({ body, tenancy }) {
      const found = await tenancy.findInvitation(body)
      if (found === undefined) throw new TenancyError('TENANCY_INVITATION_INVALID')
      return found
    },
  }),
  defineOperation({
    id: 'acceptInvitation',
    ...{ method: 'post', path: '/invitations/accept', group: 'Invitations' },
    summary: 'Makes the caller a member, if the invitation is to their proven address',
    access: { everyUser: true },
    body: tokenBody,
    answer: {
      ...{ status: 200, description: 'The tenant that the caller has joined' },
      schema: acceptedInvitation,
    },
    refusals: [409],
    run: ({ body, user, tenancy }) => tenancy.acceptInvitation({ ...body, user: user.id }),
  }),
]
