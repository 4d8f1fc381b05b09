import { z } from '@hono/zod-openapi'
import { requireTenant } from '../../http/require-user.js'
import { defineOperation, type Operation } from '../operation.js'
import { findMade } from '../serving/find-made.js'
import { defaultLimit, moment, name, pageFrom, pageOf, pageQuery, tenantParams, userId } from './schemas.js'

const account = z
  .object({
    id: z.guid(),
    name: z.string(),
    isActive: z.boolean().openapi({ description: 'While it is false, none of its keys counts' }),
    createdBy: userId.nullable(),
    createdAt: moment,
    updatedAt: moment,
  })
  .openapi('ServiceAccount')
const accountParams = tenantParams.extend({ serviceAccount: z.guid('must be a UUID') })
const path = '/tenants/{tenant}/service-accounts'
const group = 'API keys'

/** Service accounts, which own API keys. */
export const serviceAccountOperations: readonly Operation[] = [
  defineOperation({
    id: 'createServiceAccount',
    ...{ method: 'post', path, group },
    summary: 'Makes a service account, which has no key yet',
    access: { permission: 'keys:create' },
    params: tenantParams,
    body: z.strictObject({ name }).openapi('NewServiceAccount'),
    answer: { status: 201, description: 'The service account', schema: account },
    refusals: [409],
    recovery: {
      action: 'service-account.create',
      find: ({ scope, tenancy }, lost) =>
        findMade(lost, (page) => tenancy.listServiceAccounts({ ...page, tenant: scope.tenant })),
    },
    run: ({ scope, body, tenancy }) => tenancy.createServiceAccount({ ...body, ...scope }),
  }),
  defineOperation({
    id: 'listServiceAccounts',
    ...{ method: 'get', path, group },
    summary: 'Lists service accounts in the order of creation',
    access: { permission: 'keys:read' },
    params: tenantParams,
    query: z.strictObject({ ...pageQuery, after: z.guid('must be the `next` of a page').optional() }),
    whileImpersonating: true,
    answer: { status: 200, description: 'A page of service accounts', schema: pageOf('ServiceAccounts', account) },
    async run({ context, query: { after, limit = defaultLimit }, tenancy }) {
      const tenant = requireTenant(context).id
      return pageFrom(await tenancy.listServiceAccounts({ tenant, after, limit: limit + 1 }), limit, ({ id }) => id)
    },
  }),
  defineOperation({
    id: 'updateServiceAccount',
    ...{ method: 'patch', path: `${path}/{serviceAccount}`, group },
    summary: 'Renames a service account, or switches it and all of its keys off and on',
    access: { permission: 'keys:update' },
    params: accountParams,
    body: z.strictObject({ name: name.optional(), isActive: z.boolean().optional() }).openapi('ServiceAccountChange'),
    answer: { status: 200, description: 'The service account', schema: account },
    refusals: [409],
    run: ({ scope, params, body, tenancy }) => tenancy.updateServiceAccount({ ...body, ...scope, ...idOf(params) }),
  }),
  defineOperation({
    id: 'deleteServiceAccount',
    ...{ method: 'delete', path: `${path}/{serviceAccount}`, group },
    summary: 'Deletes a service account and ends its keys',
    access: { permission: 'keys:delete' },
    params: accountParams,
    answer: { status: 204, description: 'Deleted' },
    async run({ scope, params, tenancy }) {
      await tenancy.deleteServiceAccount({ ...scope, ...idOf(params) })
    },
  }),
]

const idOf = ({ serviceAccount }: { readonly serviceAccount: string }) => ({ serviceAccount })
