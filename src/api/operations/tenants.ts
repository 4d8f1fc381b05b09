import { z } from '@hono/zod-openapi'
import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { Tenancy } from '../../tenancy-interface.js'
import { defineOperation, type LostRequest, type Operation } from '../operation.js'
import { requireTenant } from '../../http/require-user.js'
import { momentOfTag } from '../serving/tags.js'
import { tenant, tenantParams } from './schemas.js'

const text = (longest: number) => z.string().max(longest, `must have at most ${longest} characters`)
export const slug = text(40).openapi({ description: '3 to 40 lower-case letters, digits and hyphens', example: 'acme' })
export const facts = {
  name: text(200).openapi({ description: 'One line, shown to people', example: 'Acme Ltd' }),
  contactEmail: text(320).nullable().optional(),
}
/** Of the platform alone: what a tenant has paid for, it does not decide. */
export const platformFacts = {
  ...facts,
  maxUsers: z.int().min(1).nullable().optional().openapi({ description: 'Most members; null: no limit' }),
}

/** Finds the tenant that a lost request has created for its owner, by the slug, which no other has. */
export async function findNewTenant(tenancy: Tenancy, slugOf: string, owner: string, { begunAt }: LostRequest) {
  const found = await tenancy.getTenant(slugOf).catch((error: unknown) => {
    if (isTenancyError(error, 'TENANCY_TENANT_NOT_FOUND')) return undefined
    throw error
  })
  return found?.createdBy === owner && found.createdAt >= begunAt ? found : undefined
}

/** Creating, reading and changing a tenant. */
export const tenantOperations: readonly Operation[] = [
  defineOperation({
    id: 'createTenant',
    ...{ method: 'post', path: '/tenants', group: 'Tenants' },
    summary: 'Creates a tenant with its database; the caller becomes its Owner',
    description: 'Refused when the application has switched it off, or the caller has created as many as it allows.',
    access: { everyUser: true },
    body: z
      .strictObject({
        ...facts,
        slug,
      })
      .openapi('NewTenant'),
    answer: { status: 201, description: 'The tenant', schema: tenant },
    ...{ refusals: [409, 422], taggedBy: 'updatedAt' },
    recovery: { find: ({ body, user, tenancy }, lost) => findNewTenant(tenancy, body.slug, user.id, lost) },
    async run({ body, user, tenancy, settings, countTenants }) {
      const { tenantsPerUser = 10, maxUsers = null } = settings.selfService ?? {}
      const create = () => tenancy.createTenant({ ...body, maxUsers, owner: user.id })
      if (tenantsPerUser === Infinity) return create()
      // One at a time for each user, in all processes: the limit holds for requests that come at once.
      return tenancy.withLock({ name: `tenants2fast.tenants-of.${user.id}` }, async () => {
        if ((await countTenants(user.id)) < tenantsPerUser) return create()
        throw new TenancyError('TENANCY_TENANT_LIMIT_REACHED')
      })
    },
  }),
  defineOperation({
    id: 'getTenant',
    ...{ method: 'get', path: '/tenants/{tenant}', group: 'Tenants' },
    summary: 'Reads the tenant, by id or slug',
    access: { permission: 'tenant:read' },
    params: tenantParams,
    whileImpersonating: true,
    answer: { status: 200, description: 'The tenant', schema: tenant },
    taggedBy: 'updatedAt',
    // The context may be some seconds old; what is shown and tagged is read now.
    run: ({ context, tenancy }) => tenancy.getTenant(requireTenant(context).id),
  }),
  defineOperation({
    id: 'updateTenant',
    ...{ method: 'patch', path: '/tenants/{tenant}', group: 'Tenants' },
    summary: 'Changes facts of the tenant; what is left out stays',
    access: { permission: 'tenant:update' },
    params: tenantParams,
    body: z.strictObject({ ...facts, name: facts.name.optional() }).openapi('TenantChange'),
    whileImpersonating: true,
    answer: { status: 200, description: 'The tenant as it is now', schema: tenant },
    ...{ takesTag: true, refusals: [409, 412], taggedBy: 'updatedAt' },
    run: ({ body, scope, tenancy, expectedTag }) =>
      tenancy.updateTenant({
        ...{ ...body, ...scope },
        ifUpdatedAt: momentOfTag(expectedTag),
      }),
  }),
  defineOperation({
    id: 'renameTenant',
    ...{ method: 'put', path: '/tenants/{tenant}/slug', group: 'Tenants' },
    summary: 'Gives the tenant another slug',
    access: { permission: 'tenant:update' },
    params: tenantParams,
    body: z.strictObject({ slug }).openapi('TenantSlug'),
    answer: { status: 200, description: 'The tenant as it is now', schema: tenant },
    ...{ refusals: [409, 422], taggedBy: 'updatedAt' },
    run: ({ body, scope, tenancy }) => tenancy.renameTenant({ ...scope, slug: body.slug }),
  }),
  defineOperation({
    id: 'deleteTenant',
    ...{ method: 'delete', path: '/tenants/{tenant}', group: 'Tenants' },
    summary: 'Deletes the tenant; the platform can bring it back within the retention period',
    access: { permission: 'tenant:delete' },
    params: tenantParams,
    answer: { status: 204, description: 'Deleted: nobody is served for it any more' },
    refusals: [409],
    async run({ scope, tenancy }) {
      await tenancy.deleteTenant(scope)
    },
  }),
]
