import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../../operation.js'
import { findMade } from '../../serving/find-made.js'
import { defaultLimit, impersonation, pageFrom, pageOf, pageQuery, tenantParams, userId } from '../schemas.js'

const group = 'Platform: tenants'
const path = '/platform/tenants/{tenant}/impersonations'
const uuid = () => z.guid('must be a UUID')
const platformImpersonation = impersonation.extend({ endedBy: userId.nullable() }).openapi('PlatformImpersonation')
const started = z
  .object({
    impersonation: platformImpersonation,
    token: z.string().nullable().openapi({
      description: 'The access token, for `Authorization: Bearer`, shown this once; null: this is a replay',
    }),
    expiresIn: z.int().openapi({ description: 'Seconds' }),
  })
  .openapi('StartedImpersonation')

/** Administrators of the installation who act as a member of a tenant. */
export const impersonationOperations: readonly Operation[] = [
  defineOperation({
    id: 'startImpersonation',
    ...{ method: 'post', path, group },
    summary: 'Begins to act as a member of the tenant, whose Owners see it',
    access: { platform: true },
    params: tenantParams,
    body: z
      .strictObject({
        user: uuid().openapi({ description: 'Id of the member' }),
        reason: z.string().min(1).max(500).openapi({
          description: 'Why, which the tenant’s Owners read',
          example: 'Ticket 4711',
        }),
        minutes: z.int().min(1).max(60).openapi({ description: 'After how many minutes it ends' }),
      })
      .openapi('NewImpersonation'),
    answer: { status: 201, description: 'The impersonation, with its token', schema: started },
    secrets: ['token'],
    recovery: {
      action: 'impersonation.start',
      async find({ params, body, tenancy }, lost) {
        const list = (page: object) => tenancy.listImpersonations({ ...page, tenant: params.tenant })
        return { impersonation: await findMade(lost, list, 'highest'), token: null, expiresIn: body.minutes * 60 }
      },
    },
    run: ({ body, params, user, tenancy }) =>
      tenancy.startImpersonation({ ...body, tenant: params.tenant, actor: user.id }),
  }),
  defineOperation({
    id: 'listImpersonationsOfTenant',
    ...{ method: 'get', path, group },
    summary: 'Lists who acts, or acted, as a member of the tenant, the newest first',
    access: { platform: true },
    params: tenantParams,
    query: z.strictObject({ ...pageQuery, after: z.guid('must be the `next` of a page').optional() }),
    answer: { status: 200, description: 'A page', schema: pageOf('PlatformImpersonations', platformImpersonation) },
    async run({ params, query: { after, limit = defaultLimit }, tenancy }) {
      const found = await tenancy.listImpersonations({ tenant: params.tenant, after, limit: limit + 1 })
      return pageFrom(found, limit, ({ id }) => id)
    },
  }),
  defineOperation({
    id: 'endImpersonation',
    ...{ method: 'delete', path: `${path}/{impersonation}`, group },
    summary: 'Ends an impersonation at once; one that is over already stays as it is',
    access: { platform: true },
    params: tenantParams.extend({ impersonation: uuid() }),
    answer: { status: 204, description: 'Ended' },
    async run({ params, user, tenancy }) {
      await tenancy.endImpersonation({ ...params, actor: user.id })
    },
  }),
]
