import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../operation.js'
import { acceptedInvitation } from './invitations.js'
import { defaultLimit, moment, pageFrom, pageOf, pageQuery } from './schemas.js'

const invitation = z
  .object({
    id: z.guid(),
    tenantId: z.guid(),
    tenantName: z.string(),
    slug: z.string(),
    roles: z.array(z.string()).readonly(),
    sentAt: moment,
    expiresAt: moment,
  })
  .openapi('OwnInvitation')
const params = z.strictObject({ invitation: z.guid('must be a UUID') })

/** The invitations of the caller's proven address, which stands for the token that was sent there. */
export const ownInvitationOperations: readonly Operation[] = [
  defineOperation({
    id: 'listOwnInvitations',
    ...{ method: 'get', path: '/me/invitations', group: 'Me' },
    summary: 'Lists the open invitations of the caller’s address',
    access: { everyUser: true },
    query: z.strictObject({ ...pageQuery, after: z.guid('must be the `next` of a page').optional() }),
    answer: { status: 200, description: 'A page of invitations', schema: pageOf('OwnInvitations', invitation) },
    async run({ user, query: { after, limit = defaultLimit }, tenancy }) {
      const found = await tenancy.listOwnInvitations({ user: user.id, after, limit: limit + 1 })
      return pageFrom(found, limit, ({ id }) => id)
    },
  }),
  defineOperation({
    id: 'acceptOwnInvitation',
    ...{ method: 'post', path: '/me/invitations/{invitation}/accept', group: 'Me' },
    summary: 'Makes the caller a member, by an invitation of their proven address',
    access: { everyUser: true },
    params,
    answer: {
      ...{ status: 200, description: 'The tenant that the caller has joined' },
      schema: acceptedInvitation,
    },
    refusals: [404, 409],
    run: ({ params: { invitation: id }, user, tenancy }) =>
      tenancy.acceptOwnInvitation({ invitation: id, user: user.id }),
  }),
  defineOperation({
    id: 'declineOwnInvitation',
    ...{ method: 'post', path: '/me/invitations/{invitation}/decline', group: 'Me' },
    summary: 'Declines an invitation of the caller’s proven address',
    access: { everyUser: true },
    params,
    answer: { status: 204, description: 'Declined' },
    refusals: [404],
    async run({ params: { invitation: id }, user, tenancy }) {
      await tenancy.declineInvitation({ invitation: id, user: user.id })
    },
  }),
]
