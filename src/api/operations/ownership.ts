import { z } from '@hono/zod-openapi'
import { TenancyError } from '../../core/errors/errors.js'
import { requireTenant } from '../../http/require-user.js'
import { defineOperation, type Operation } from '../operation.js'
import { moment, roleName, tenantParams, userId } from './schemas.js'

const offer = z
  .object({ from: userId, to: userId, keep: z.string(), createdAt: moment, expiresAt: moment })
  .openapi('OwnershipOffer')
const path = '/tenants/{tenant}/ownership-offer'

/** Handing over the ownership of a tenant. The functions check who gives, and who may answer. */
export const ownershipOperations: readonly Operation[] = [
  defineOperation({
    id: 'offerOwnership',
    ...{ method: 'post', path, group: 'Ownership' },
    summary: 'Offers the caller’s ownership to another member, for 7 days',
    access: { everyMember: true },
    params: tenantParams,
    body: z
      .strictObject({
        to: userId,
        keep: roleName.optional().openapi({ description: 'Role of the giver afterwards. Default: Admin' }),
      })
      .openapi('NewOwnershipOffer'),
    answer: { status: 201, description: 'The offer', schema: offer },
    refusals: [409],
    run: ({ context, body, user, tenancy }) =>
      tenancy.offerOwnership({ ...body, tenant: requireTenant(context).id, from: user.id }),
  }),
  defineOperation({
    id: 'getOwnershipOffer',
    ...{ method: 'get', path, group: 'Ownership' },
    summary: 'Reads the open offer of the tenant',
    access: { everyMember: true },
    params: tenantParams,
    whileImpersonating: true,
    answer: { status: 200, description: 'The offer', schema: offer },
    async run({ context, tenancy }) {
      const found = await tenancy.findOwnershipOffer(requireTenant(context).id)
      if (found === undefined) throw new TenancyError('TENANCY_OWNERSHIP_OFFER_NOT_FOUND')
      return found
    },
  }),
  defineOperation({
    id: 'acceptOwnership',
    ...{ method: 'post', path: `${path}/accept`, group: 'Ownership' },
    summary: 'Accepts the offer: the caller becomes an Owner, and the giver what was chosen',
    access: { everyMember: true },
    params: tenantParams,
    answer: { status: 204, description: 'The caller is an Owner' },
    refusals: [409],
    async run({ context, user, tenancy }) {
      await tenancy.acceptOwnership({ tenant: requireTenant(context).id, user: user.id })
    },
  }),
  defineOperation({
    id: 'declineOwnership',
    ...{ method: 'post', path: `${path}/decline`, group: 'Ownership' },
    summary: 'Declines the offer, as the one to whom it was made',
    access: { everyMember: true },
    params: tenantParams,
    answer: { status: 204, description: 'Declined' },
    async run({ context, user, tenancy }) {
      await tenancy.declineOwnership({ tenant: requireTenant(context).id, user: user.id })
    },
  }),
  defineOperation({
    id: 'withdrawOwnership',
    ...{ method: 'delete', path, group: 'Ownership' },
    summary: 'Withdraws the offer, as the giver or another Owner',
    access: { everyMember: true },
    params: tenantParams,
    answer: { status: 204, description: 'Withdrawn' },
    async run({ scope, tenancy }) {
      await tenancy.withdrawOwnership(scope)
    },
  }),
]
