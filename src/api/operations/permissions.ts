import { z } from '@hono/zod-openapi'
import { TenancyError } from '../../core/errors/errors.js'
import { refuseRequest } from '../../http/messages/refusals.js'
import { requireTenant } from '../../http/require-user.js'
import type { Tenancy } from '../../tenancy-interface.js'
import { defineOperation, type Operation } from '../operation.js'
import {
  defaultLimit,
  momentOrNull,
  pageFrom,
  pageOf,
  pageQuery,
  permissionName,
  tenantParams,
  userId,
} from './schemas.js'

const group = 'Permissions'
const read = { permission: 'roles:read' }

const permission = z
  .object({
    name: permissionName,
    description: z.string(),
    category: z.string().nullable(),
    isActive: z.boolean().openapi({ description: 'An inactive permission grants nothing' }),
  })
  .openapi('Permission')

const category = z.object({ name: z.string(), description: z.string() }).openapi('PermissionCategory')

const rule = z
  .object({
    method: z.string().openapi({ description: 'In upper case; `*`: any', example: 'GET' }),
    path: z.string().openapi({ example: '/reports/{id}' }),
    permission: z.string().openapi({ description: 'One of those that open the route' }),
    isActive: z.boolean().openapi({ description: 'An inactive rule closes its route' }),
  })
  .openapi('RouteRule')
type Rule = z.output<typeof rule>

const ruleCursor = z.tuple([z.string().max(20), z.string().max(1000), z.string().max(200)])
const cursorOfRule = ({ method, path, permission: needed }: Rule) =>
  Buffer.from(JSON.stringify([method, path, needed])).toString('base64url')

function readRuleCursor(text: string | undefined) {
  if (text === undefined) return undefined
  try {
    const [method, path, needed] = ruleCursor.parse(JSON.parse(Buffer.from(text, 'base64url').toString()))
    return { method, path, permission: needed }
  } catch {
    throw refuseRequest('after is no `next` of this list', { parameter: 'after' })
  }
}

const question = z.union([
  z.strictObject({ user: userId, permission: permissionName }).openapi('PermissionQuestion'),
  z
    .strictObject({
      user: userId,
      method: z
        .string()
        .regex(/^[A-Z]{1,20}$/, 'must be a method in upper case')
        .openapi({ example: 'GET' }),
      path: z.string().min(1).max(2048).openapi({ description: 'A path or a rule’s template', example: '/reports/42' }),
    })
    .openapi('RouteQuestion'),
])

const roleNames = z.array(z.string()).readonly()
const provenance = z
  .object({
    permission: z.string(),
    state: z.enum(['granted', 'denied', 'not-granted', 'permission-inactive', 'no-permission']),
    through: z
      .array(
        z.object({
          roles: roleNames.openapi({
            description: 'The role that is held, and those that it includes down to the permission',
          }),
          inactive: roleNames.openapi({
            description: 'Those that are inactive: while there is one, nothing is granted',
          }),
        }),
      )
      .readonly(),
    override: z
      .object({ effect: z.enum(['allow', 'deny']), expiresAt: momentOrNull, isExpired: z.boolean() })
      .optional(),
  })
  .openapi('Provenance')

const explanation = z
  .object({
    allowed: z.boolean(),
    reason: z
      .string()
      .openapi({ description: '`granted`, or the first obstacle: docs/access.md', example: 'not-granted' }),
    rule: z.string().optional().openapi({ description: 'The route rule that decides', example: 'GET /reports/{id}' }),
    permissions: z.array(provenance).readonly(),
  })
  .openapi('AccessExplanation')

/** @throws {@link TenancyError} TENANCY_ACCESS_PERMISSION_NOT_FOUND */
export async function findPermission({ access }: Pick<Tenancy, 'access'>, of: string) {
  const [found] = await access.listPermissions({ name: of })
  if (found === undefined) throw new TenancyError('TENANCY_ACCESS_PERMISSION_NOT_FOUND')
  return found
}

/** What there is to grant, and why somebody may or may not. The application defines it; nothing here changes it. */
export const permissionOperations: readonly Operation[] = [
  defineOperation({
    id: 'listPermissions',
    ...{ method: 'get', path: '/tenants/{tenant}/permissions', group },
    summary: 'Lists the permissions that the application defines, by name',
    access: read,
    params: tenantParams,
    query: z.strictObject(pageQuery),
    whileImpersonating: true,
    answer: { status: 200, description: 'A page of permissions', schema: pageOf('Permissions', permission) },
    async run({ query: { after, limit = defaultLimit }, tenancy }) {
      const found = await tenancy.access.listPermissions({ after, limit: limit + 1 })
      return pageFrom(found, limit, (last) => last.name)
    },
  }),
  defineOperation({
    id: 'getPermission',
    ...{ method: 'get', path: '/tenants/{tenant}/permissions/{permission}', group },
    summary: 'Reads one permission',
    access: read,
    params: tenantParams.extend({
      permission: permissionName.openapi({ param: { name: 'permission', in: 'path' } }),
    }),
    whileImpersonating: true,
    answer: { status: 200, description: 'The permission', schema: permission },
    run: ({ params, tenancy }) => findPermission(tenancy, params.permission),
  }),
  defineOperation({
    id: 'listPermissionCategories',
    ...{ method: 'get', path: '/tenants/{tenant}/permission-categories', group },
    summary: 'Lists the categories of permissions, for display',
    access: read,
    params: tenantParams,
    whileImpersonating: true,
    answer: {
      ...{ status: 200, description: 'All of them, by name' },
      schema: z.object({ items: z.array(category).readonly() }).openapi('PermissionCategories'),
    },
    run: async ({ tenancy }) => ({ items: await tenancy.access.listCategories() }),
  }),
  defineOperation({
    id: 'listRouteRules',
    ...{ method: 'get', path: '/tenants/{tenant}/route-rules', group },
    summary: 'Lists which permissions open which routes of the application, by path',
    access: read,
    params: tenantParams,
    query: z.strictObject({
      ...pageQuery,
      after: z
        .string()
        .min(1)
        .max(4000)
        .optional()
        .openapi({ description: '`next` of the page before. Default: the first page' }),
    }),
    whileImpersonating: true,
    answer: { status: 200, description: 'A page of rules', schema: pageOf('RouteRules', rule) },
    async run({ query: { after, limit = defaultLimit }, tenancy }) {
      const found = await tenancy.access.listRouteRules({ after: readRuleCursor(after), limit: limit + 1 })
      return pageFrom(found, limit, cursorOfRule)
    },
  }),
  defineOperation({
    id: 'explainAccess',
    ...{ method: 'post', path: '/tenants/{tenant}/access/explain', group },
    summary: 'Says why a member may or may not use a permission or call a route, now',
    access: read,
    params: tenantParams,
    body: question,
    whileImpersonating: true,
    answer: { status: 200, description: 'The decision and its reason', schema: explanation },
    isRead: true,
    async run({ body, context, tenancy }) {
      const found = await tenancy.access.explain({ ...body, tenant: requireTenant(context).id })
      // Nothing is said about users of other tenants, not even whether they exist.
      if (found.reason !== 'user-unknown' && found.reason !== 'not-a-member') return found
      throw new TenancyError('TENANCY_MEMBER_NOT_FOUND')
    },
  }),
]
