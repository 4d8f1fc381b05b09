import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../../operation.js'
import { pageOf, pageQuery, permissionName } from '../schemas.js'
import { pageOfAll, refuseDefined } from './shapes.js'

const group = 'Platform: route rules'
const path = '/platform/route-rules'
/** Together they name a rule. */
const key = {
  method: z.string().min(1).max(20).openapi({ description: 'In upper case, or `*` for any', example: 'GET' }),
  path: z
    .string()
    .min(1)
    .max(1000)
    .openapi({ description: 'Literal and `{param}` segments', example: '/reports/{id}' }),
  permission: permissionName,
}
const rule = z
  .object({
    method: z.string(),
    path: z.string(),
    permission: z.string(),
    isActive: z.boolean(),
    isSystem: z.boolean().openapi({ description: 'Whether it is the access definition’s: it is read-only here' }),
  })
  .openapi('PlatformRouteRule')

interface RuleKey {
  readonly method: string
  readonly path: string
  readonly permission: string
}
const definedRule = (of: RuleKey) => ({ kind: 'route', name: `${of.method} ${of.path} ${of.permission}` }) as const

/** Permissions that routes of the application require. */
export const routeRuleOperations: readonly Operation[] = [
  defineOperation({
    id: 'listPlatformRouteRules',
    ...{ method: 'get', path, group },
    summary: 'Lists route rules by path and method',
    access: { platform: true },
    query: z.strictObject({ ...pageQuery, after: z.string().min(1).max(1500).optional() }),
    answer: { status: 200, description: 'A page', schema: pageOf('PlatformRouteRules', rule) },
    run: async ({ query, tenancy }) =>
      pageOfAll(await tenancy.access.listRouteRules(), (of) => `${of.path} ${of.method} ${of.permission}`, query),
  }),
  defineOperation({
    id: 'createRouteRule',
    ...{ method: 'post', path, group },
    summary: 'Makes a route require a permission; rules of one method and path are alternatives',
    access: { platform: true },
    body: z.strictObject(key).openapi('NewRouteRule'),
    answer: { status: 201, description: 'The rule', schema: rule },
    refusals: [409],
    recovery: { action: 'route.create', find: async ({ body }) => ({ ...body, isActive: true, isSystem: false }) },
    async run({ body, user, tenancy }) {
      await tenancy.access.createRouteRule({ ...body, actor: user.id })
      return { ...body, isActive: true, isSystem: false }
    },
  }),
  defineOperation({
    id: 'updateRouteRule',
    ...{ method: 'patch', path, group },
    summary: 'Activates or deactivates a rule; an inactive one closes its route',
    access: { platform: true },
    body: z.strictObject({ ...key, isActive: z.boolean() }).openapi('RouteRuleChange'),
    answer: { status: 204, description: 'Changed' },
    refusals: [409],
    async run({ body, user, tenancy }) {
      await refuseDefined(tenancy, definedRule(body))
      await tenancy.access.setRouteRuleActive({ ...body, actor: user.id })
    },
  }),
  defineOperation({
    id: 'deleteRouteRule',
    ...{ method: 'delete', path, group },
    summary: 'Deletes a rule; a wider one may apply to the route afterwards',
    access: { platform: true },
    query: z.strictObject(key),
    answer: { status: 204, description: 'Deleted' },
    refusals: [409],
    async run({ query, user, tenancy }) {
      await refuseDefined(tenancy, definedRule(query))
      await tenancy.access.deleteRouteRule({ ...query, actor: user.id })
    },
  }),
]
