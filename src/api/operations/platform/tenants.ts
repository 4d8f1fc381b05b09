import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../../operation.js'
import { momentOfTag } from '../../serving/tags.js'
import { defaultLimit, pageQuery, tenantParams, userId } from '../schemas.js'
import { findNewTenant, platformFacts as facts, slug } from '../tenants.js'
import { platformTenant } from './shapes.js'

const label = z.string().min(1).max(63)
const labels = z.array(label).max(50).openapi({ description: 'They replace those that the tenant has' })
const group = 'Platform: tenants'

/** All tenants of the installation, in any status: reading and changing their facts. */
export const tenantsOfPlatformOperations: readonly Operation[] = [
  defineOperation({
    id: 'listPlatformTenants',
    ...{ method: 'get', path: '/platform/tenants', group },
    summary: 'Lists tenants in the order of creation',
    access: { platform: true },
    query: z.strictObject({
      ...pageQuery,
      search: z
        .string()
        .min(1)
        .max(320)
        .optional()
        .openapi({ description: 'Part of the slug, name or contact address, in any case' }),
      status: z.enum(['active', 'suspended', 'deleted']).optional(),
      label: label.optional().openapi({ description: 'Only tenants that have this label' }),
    }),
    answer: {
      ...{ status: 200, description: 'A page, deleted tenants included unless the status says otherwise' },
      schema: z
        .object({
          items: z.array(platformTenant).readonly(),
          total: z.int().openapi({ description: 'Number of tenants that match, on all pages' }),
          next: z.string().nullable(),
        })
        .openapi('PlatformTenants'),
    },
    async run({ query: { limit = defaultLimit, status, after, ...filters }, tenancy }) {
      // Text that is no id is refused by the function, as a cursor that nobody was given.
      const statuses = status === undefined ? undefined : [status]
      const { tenants, ...page } = await tenancy.searchTenants({ ...filters, statuses, after, limit })
      return { items: tenants, ...page }
    },
  }),
  defineOperation({
    id: 'createPlatformTenant',
    ...{ method: 'post', path: '/platform/tenants', group },
    summary: 'Creates a tenant with its database, for a user who becomes its Owner',
    access: { platform: true },
    body: z.strictObject({ ...facts, slug, owner: userId, labels: labels.optional() }).openapi('NewPlatformTenant'),
    answer: { status: 201, description: 'The tenant', schema: platformTenant },
    ...{ refusals: [409, 422], taggedBy: 'updatedAt' },
    recovery: {
      async find({ body, user, tenancy }, lost) {
        const found = await findNewTenant(tenancy, body.slug, body.owner.toLowerCase(), lost)
        if (found === undefined) return undefined
        // Another administrator may have done the same.
        const [entry] = await tenancy.audit.list({ tenant: found.id, action: 'tenant.create', by: user.id, limit: 1 })
        return entry && found
      },
    },
    run: ({ body, user, tenancy }) => tenancy.createTenant({ ...body, actor: user.id }),
  }),
  defineOperation({
    id: 'getPlatformTenant',
    ...{ method: 'get', path: '/platform/tenants/{tenant}', group },
    summary: 'Reads a tenant in any status, by id or slug',
    access: { platform: true },
    params: tenantParams,
    answer: { status: 200, description: 'The tenant', schema: platformTenant },
    taggedBy: 'updatedAt',
    run: ({ params, tenancy }) => tenancy.getTenant(params.tenant),
  }),
  defineOperation({
    id: 'updatePlatformTenant',
    ...{ method: 'patch', path: '/platform/tenants/{tenant}', group },
    summary: 'Changes facts of a tenant that is not deleted; what is left out stays',
    access: { platform: true },
    params: tenantParams,
    body: z.strictObject({ ...facts, name: facts.name.optional() }).openapi('PlatformTenantChange'),
    answer: { status: 200, description: 'The tenant as it is now', schema: platformTenant },
    ...{ takesTag: true, refusals: [409], taggedBy: 'updatedAt' },
    run: ({ params, body, user, tenancy, expectedTag }) =>
      tenancy.updateTenant({
        ...{ ...body, tenant: params.tenant, actor: user.id },
        ifUpdatedAt: momentOfTag(expectedTag),
      }),
  }),
  defineOperation({
    id: 'renamePlatformTenant',
    ...{ method: 'put', path: '/platform/tenants/{tenant}/slug', group },
    summary: 'Gives a tenant another slug',
    access: { platform: true },
    params: tenantParams,
    body: z.strictObject({ slug }).openapi('PlatformTenantSlug'),
    answer: { status: 200, description: 'The tenant as it is now', schema: platformTenant },
    ...{ refusals: [409, 422], taggedBy: 'updatedAt' },
    run: ({ params, body, user, tenancy }) =>
      tenancy.renameTenant({ tenant: params.tenant, slug: body.slug, actor: user.id }),
  }),
  defineOperation({
    id: 'labelPlatformTenant',
    ...{ method: 'put', path: '/platform/tenants/{tenant}/labels', group },
    summary: 'Sets the labels of a tenant in any status',
    access: { platform: true },
    params: tenantParams,
    body: z.strictObject({ labels }).openapi('PlatformTenantLabels'),
    answer: { status: 200, description: 'The tenant as it is now', schema: platformTenant },
    taggedBy: 'updatedAt',
    run: ({ params, body, user, tenancy }) =>
      tenancy.setTenantLabels({ tenant: params.tenant, labels: body.labels, actor: user.id }),
  }),
  defineOperation({
    id: 'readTenantUsage',
    ...{ method: 'get', path: '/platform/tenants/{tenant}/usage', group },
    summary: 'Reads how much a tenant uses',
    access: { platform: true },
    params: tenantParams,
    answer: {
      ...{ status: 200, description: 'As of now' },
      schema: z
        .object({
          members: z.int().openapi({ description: 'Inactive ones included' }),
          maxUsers: z.int().nullable().openapi({ description: 'Most members; null: no limit' }),
          databaseBytes: z.int().nullable().openapi({ description: 'On disk; null: there is no database to measure' }),
          connections: z.int().openapi({ description: 'To its database, from every process' }),
        })
        .openapi('TenantUsage'),
    },
    run: ({ params, tenancy }) => tenancy.getTenantUsage(params.tenant),
  }),
]
