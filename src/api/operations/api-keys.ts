import { z } from '@hono/zod-openapi'
import { requireTenant } from '../../http/require-user.js'
import type { Tenancy } from '../../tenancy-interface.js'
import { defineOperation, type LostRequest, type Operation } from '../operation.js'
import { findMade } from '../serving/find-made.js'
import {
  defaultLimit,
  moment,
  momentOrNull,
  name,
  pageFrom,
  pageOf,
  pageQuery,
  permissionName,
  tenantParams,
  userId,
} from './schemas.js'

const uuid = () => z.guid('must be a UUID')
const after = z.guid('must be the `next` of a page').optional()
const apiKey = z
  .object({
    id: z.guid(),
    serviceAccountId: z.guid(),
    name: z.string(),
    prefix: z.string().openapi({ description: 'The visible beginning of the key', example: 't2f_4Xb9Q2ma' }),
    permissions: z.array(z.string()).readonly().openapi({
      description: 'What it was given. It has those of them that the one who answers for it holds, too',
    }),
    responsibleId: userId.nullable().openapi({ description: 'Id of the member who answers for it; null: the Owners' }),
    createdBy: userId.nullable(),
    expiresAt: momentOrNull.openapi({ description: 'null: it does not expire' }),
    lastUsedAt: momentOrNull.openapi({ description: 'Within five minutes; null: not yet' }),
    previousEndsAt: momentOrNull.openapi({ description: 'Until when the secret before the last rotation works' }),
    revokedAt: momentOrNull,
    createdAt: moment,
    updatedAt: moment,
  })
  .openapi('ApiKey')
const issued = z
  .object({
    apiKey,
    key: z.string().nullable().openapi({
      description: 'The key itself, for `Authorization: Bearer`, shown this once; null: this is a replay',
    }),
  })
  .openapi('IssuedApiKey')
const expiresAt = z.iso
  .datetime({ offset: true, error: 'must be a moment such as 2030-01-31T12:00:00Z' })
  .transform((text) => new Date(text))
  .nullable()
  .optional()
  .openapi({
    type: ['string', 'null'],
    format: 'date-time',
    description: 'From when on it does not count; null: it does not expire',
  })
const permissions = z.array(permissionName).max(500).readonly()
const keyParams = tenantParams.extend({ apiKey: uuid() })
const path = '/tenants/{tenant}/keys'
const group = 'API keys'

/** What a lost request has made is found without its text. */
const recoveryOf = (action: string) => ({
  action,
  async find(
    { scope, tenancy }: { readonly scope: { readonly tenant: string }; readonly tenancy: Tenancy },
    lost: LostRequest,
  ) {
    const found = await findMade(lost, (page) => tenancy.listApiKeys({ ...page, tenant: scope.tenant }))
    return { apiKey: found, key: null }
  },
})

/** API keys of service accounts. */
export const apiKeyOperations: readonly Operation[] = [
  defineOperation({
    id: 'createApiKey',
    ...{ method: 'post', path, group },
    summary: 'Makes an API key with permissions that the caller holds',
    access: { permission: 'keys:create' },
    params: tenantParams,
    body: z.strictObject({ serviceAccount: uuid(), name, permissions, expiresAt }).openapi('NewApiKey'),
    answer: { status: 201, description: 'The key, with its text', schema: issued },
    ...{ secrets: ['key'], refusals: [409, 422], recovery: recoveryOf('api-key.create') },
    run: ({ scope, body, tenancy }) => tenancy.createApiKey({ ...body, ...scope }),
  }),
  defineOperation({
    id: 'listApiKeys',
    ...{ method: 'get', path, group },
    summary: 'Lists API keys in the order of creation, revoked ones included',
    access: { permission: 'keys:read' },
    params: tenantParams,
    query: z.strictObject({ ...pageQuery, after, serviceAccount: uuid().optional() }),
    whileImpersonating: true,
    answer: { status: 200, description: 'A page of keys', schema: pageOf('ApiKeys', apiKey) },
    async run({ context, query: { limit = defaultLimit, ...query }, tenancy }) {
      const tenant = requireTenant(context).id
      return pageFrom(await tenancy.listApiKeys({ ...query, tenant, limit: limit + 1 }), limit, ({ id }) => id)
    },
  }),
  defineOperation({
    id: 'updateApiKey',
    ...{ method: 'patch', path: `${path}/{apiKey}`, group },
    summary: 'Changes name, permissions or expiry of an API key, whose permissions the caller has to hold',
    access: { permission: 'keys:update' },
    params: keyParams,
    body: z
      .strictObject({ name: name.optional(), permissions: permissions.optional(), expiresAt })
      .openapi('ApiKeyChange'),
    answer: { status: 200, description: 'The key', schema: apiKey },
    refusals: [422],
    run: ({ scope, params, body, tenancy }) => tenancy.updateApiKey({ ...body, ...scope, apiKey: params.apiKey }),
  }),
  defineOperation({
    id: 'rotateApiKey',
    ...{ method: 'post', path: `${path}/{apiKey}/rotate`, group },
    summary: 'Gives an API key a new secret; the earlier one works for a while longer',
    access: { permission: 'keys:update' },
    params: keyParams,
    body: z
      .strictObject({
        overlapSeconds: z
          .int()
          .min(0)
          .max(604_800)
          .optional()
          .openapi({ description: 'For how long the earlier secret works. 0: it ends at once. Default: 86400' }),
      })
      .openapi('ApiKeyRotation'),
    answer: { status: 200, description: 'The key, with its new text', schema: issued },
    ...{ secrets: ['key'], refusals: [409], recovery: recoveryOf('api-key.rotate') },
    run: ({ scope, params, body, tenancy }) => tenancy.rotateApiKey({ ...body, ...scope, apiKey: params.apiKey }),
  }),
  defineOperation({
    id: 'revokeApiKey',
    ...{ method: 'delete', path: `${path}/{apiKey}`, group },
    summary: 'Ends an API key for good',
    access: { permission: 'keys:delete' },
    params: keyParams,
    answer: { status: 204, description: 'Revoked' },
    async run({ scope, params, tenancy }) {
      await tenancy.revokeApiKey({ ...scope, apiKey: params.apiKey })
    },
  }),
]
