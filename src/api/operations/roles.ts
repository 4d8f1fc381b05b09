import { z } from '@hono/zod-openapi'
import { requireTenant } from '../../http/require-user.js'
import type { Tenancy } from '../../tenancy-interface.js'
import { defineOperation, type Operation } from '../operation.js'
import { defaultLimit, name, pageFrom, pageOf, pageQuery, permissionName, roleId, tenantParams } from './schemas.js'

const newName = name.openapi({
  ...{ description: '1 to 100 letters, digits, spaces, `.`, `_` and `-`; unique in the tenant in any case' },
  example: 'Accountant',
})
const description = z.string().max(1000, 'must have at most 1000 characters')

const role = z
  .object({
    id: roleId,
    name: z.string().openapi({ example: 'Accountant' }),
    description: z.string(),
    isActive: z.boolean().openapi({ description: 'An inactive role grants nothing' }),
    isBuiltIn: z.boolean().openapi({ description: 'The same for every tenant, which cannot change it' }),
    permissions: z.array(z.string()).readonly().openapi({ description: 'What it holds itself, active or not' }),
    includes: z
      .array(z.string())
      .readonly()
      .openapi({ description: 'Names of roles whose permissions it grants, too' }),
    version: z.string().openapi({ description: 'The ETag, without its quotes' }),
  })
  .openapi('Role')
type Role = Awaited<ReturnType<Tenancy['access']['getRole']>>
const shown = ({ tenantId, ...facts }: Role) => ({ ...facts, isBuiltIn: tenantId === null })

const group = 'Roles'
const manage = { permission: 'roles:manage' }
const roleParams = tenantParams.extend({ role: roleId })
const grantParams = roleParams.extend({ permission: permissionName })
const inclusionParams = roleParams.extend({ included: roleId })

/** Built-in roles and the tenant's own, and what they grant. */
export const roleOperations: readonly Operation[] = [
  defineOperation({
    id: 'listRoles',
    ...{ method: 'get', path: '/tenants/{tenant}/roles', group },
    summary: 'Lists the built-in roles and the tenant’s own, by name',
    access: { permission: 'roles:read' },
    params: tenantParams,
    query: z.strictObject(pageQuery),
    whileImpersonating: true,
    answer: { status: 200, description: 'A page of roles', schema: pageOf('Roles', role) },
    async run({ query: { after, limit = defaultLimit }, context, tenancy }) {
      const { id } = requireTenant(context)
      const read = await tenancy.access.listRoles({ tenant: id, after, limit: limit + 1 })
      return pageFrom(read.map(shown), limit, (last) => last.name)
    },
  }),
  defineOperation({
    id: 'createRole',
    ...{ method: 'post', path: '/tenants/{tenant}/roles', group },
    summary: 'Creates a role of the tenant’s own, which grants nothing yet',
    access: manage,
    params: tenantParams,
    body: z.strictObject({ name: newName, description: description.optional() }).openapi('NewRole'),
    answer: { status: 201, description: 'The role', schema: role },
    ...{ refusals: [409], taggedBy: 'version' },
    recovery: {
      action: 'role.create',
      find: async ({ scope, tenancy }, { made = '' }) =>
        shown(await tenancy.access.getRole({ tenant: scope.tenant, role: made })),
    },
    run: async ({ body, scope, tenancy }) => shown(await tenancy.access.createRole({ ...body, ...scope })),
  }),
  defineOperation({
    id: 'getRole',
    ...{ method: 'get', path: '/tenants/{tenant}/roles/{role}', group },
    summary: 'Reads a role, built in or the tenant’s own',
    access: { permission: 'roles:read' },
    params: roleParams,
    whileImpersonating: true,
    answer: { status: 200, description: 'The role', schema: role },
    taggedBy: 'version',
    run: async ({ params, context, tenancy }) =>
      shown(await tenancy.access.getRole({ tenant: requireTenant(context).id, role: params.role })),
  }),
  defineOperation({
    id: 'updateRole',
    ...{ method: 'patch', path: '/tenants/{tenant}/roles/{role}', group },
    summary: 'Renames, describes or switches a role of the tenant’s own; what is left out stays',
    access: manage,
    params: roleParams,
    body: z
      .strictObject({ name: newName.optional(), description: description.optional(), isActive: z.boolean().optional() })
      .openapi('RoleChange'),
    answer: { status: 200, description: 'The role as it is now', schema: role },
    ...{ takesTag: true, refusals: [409], taggedBy: 'version' },
    run: async ({ params, body, scope, tenancy, expectedTag }) =>
      shown(await tenancy.access.updateRole({ ...body, ...scope, role: params.role, version: expectedTag })),
  }),
  defineOperation({
    id: 'deleteRole',
    ...{ method: 'delete', path: '/tenants/{tenant}/roles/{role}', group },
    summary: 'Deletes a role of the tenant’s own; its holders lose it',
    access: manage,
    params: roleParams,
    answer: { status: 204, description: 'Deleted' },
    async run({ params, scope, tenancy }) {
      await tenancy.access.deleteRole({ ...scope, role: params.role })
    },
  }),
  defineOperation({
    id: 'grantPermission',
    ...{ method: 'put', path: '/tenants/{tenant}/roles/{role}/permissions/{permission}', group },
    summary: 'Grants a permission to a role of the tenant’s own',
    description: 'The caller must hold the permission.',
    access: manage,
    params: grantParams,
    answer: { status: 204, description: 'The role holds it' },
    async run({ params: { role: id, permission }, scope, tenancy }) {
      await tenancy.access.grantPermission({ ...scope, role: id, permission })
    },
  }),
  defineOperation({
    id: 'revokePermission',
    ...{ method: 'delete', path: '/tenants/{tenant}/roles/{role}/permissions/{permission}', group },
    summary: 'Revokes a permission from a role of the tenant’s own',
    access: manage,
    params: grantParams,
    answer: { status: 204, description: 'The role does not hold it itself' },
    async run({ params: { role: id, permission }, scope, tenancy }) {
      await tenancy.access.revokePermission({ ...scope, role: id, permission })
    },
  }),
  defineOperation({
    id: 'includeRole',
    ...{ method: 'put', path: '/tenants/{tenant}/roles/{role}/includes/{included}', group },
    summary: 'Makes a role of the tenant’s own grant what another role grants',
    description: 'The caller must hold everything that the included role grants.',
    access: manage,
    params: inclusionParams,
    answer: { status: 204, description: 'Included' },
    refusals: [409],
    async run({ params: { role: id, included }, scope, tenancy }) {
      await tenancy.access.includeRole({ ...scope, role: id, included })
    },
  }),
  defineOperation({
    id: 'excludeRole',
    ...{ method: 'delete', path: '/tenants/{tenant}/roles/{role}/includes/{included}', group },
    summary: 'Ends the inclusion of a role',
    access: manage,
    params: inclusionParams,
    answer: { status: 204, description: 'Not included' },
    async run({ params: { role: id, included }, scope, tenancy }) {
      await tenancy.access.excludeRole({ ...scope, role: id, included })
    },
  }),
]
