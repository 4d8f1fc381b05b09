import { z } from '@hono/zod-openapi'
import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import { requireTenant } from '../../http/require-user.js'
import { defineOperation, type Operation } from '../operation.js'
import { moment } from './schemas.js'

const membership = z
  .object({
    tenantId: z.guid(),
    slug: z.string(),
    tenantName: z.string(),
    status: z.enum(['active', 'suspended']),
    isActive: z.boolean(),
    isDefault: z.boolean(),
    roles: z.array(z.string()).readonly(),
    createdAt: moment,
  })
  .openapi('OwnMembership')

/** What a signed-in user asks about themselves. */
export const ownOperations: readonly Operation[] = [
  defineOperation({
    id: 'getOwnUser',
    ...{ method: 'get', path: '/me', group: 'Me' },
    summary: 'Reads who the caller is',
    access: { everyUser: true },
    answer: {
      ...{ status: 200, description: 'The caller' },
      schema: z
        .object({
          id: z.guid(),
          email: z.string(),
          name: z.string(),
          image: z.string().nullable(),
          emailVerified: z.boolean(),
        })
        .openapi('OwnUser'),
    },
    run: async ({ user }) => user,
  }),
  defineOperation({
    id: 'listOwnTenants',
    ...{ method: 'get', path: '/me/tenants', group: 'Me' },
    summary: 'Lists the tenants that the caller is a member of, with the roles there',
    access: { everyUser: true },
    answer: {
      ...{ status: 200, description: 'By slug; deleted tenants are left out' },
      schema: z.object({ items: z.array(membership).readonly() }).openapi('OwnMemberships'),
    },
    run: async ({ user, tenancy }) => ({ items: await tenancy.listMemberships(user.id) }),
  }),
  defineOperation({
    id: 'chooseDefaultTenant',
    ...{ method: 'put', path: '/me/default-tenant', group: 'Me' },
    summary: 'Chooses the tenant of those requests of the caller that name none',
    access: { everyUser: true },
    body: z
      .strictObject({ tenant: z.string().min(1).max(200).openapi({ description: 'Id or slug' }) })
      .openapi('DefaultTenant'),
    answer: { status: 204, description: 'Chosen' },
    refusals: [404],
    async run({ body, user, tenancy }) {
      try {
        await tenancy.setDefaultTenant({ tenant: body.tenant, user: user.id, actor: user.id })
      } catch (error) {
        // A tenant of others answers as one that does not exist.
        const isUnknown =
          isTenancyError(error, 'TENANCY_MEMBER_NOT_FOUND') || isTenancyError(error, 'TENANCY_TENANT_NOT_FOUND')
        throw isUnknown ? new TenancyError('TENANCY_TENANT_NOT_FOUND') : error
      }
    },
  }),
  defineOperation({
    id: 'listOwnPermissions',
    ...{ method: 'get', path: '/me/permissions', group: 'Me' },
    summary: 'Lists what the caller may do in the tenant of the request, for a user interface',
    access: { everyMember: true },
    whileImpersonating: true,
    answer: {
      ...{ status: 200, description: 'Names of permissions and of active roles, sorted' },
      schema: z
        .object({
          tenant: z.object({ id: z.guid(), slug: z.string() }),
          roles: z.array(z.string()).readonly(),
          permissions: z.array(z.string()).readonly(),
        })
        .openapi('OwnPermissions'),
    },
    isOfContext: true,
    async run({ context, tenancy }) {
      const { id, slug } = requireTenant(context)
      const { access, membership: own } = context
      return {
        tenant: { id, slug },
        roles: [...(access?.roles ?? [])],
        permissions: tenancy.permissionsOf(access && own && { access, membership: own }),
      }
    },
  }),
]
