import { z } from '@hono/zod-openapi'
import type { Tenancy } from '../../../tenancy-interface.js'
import { defineOperation, type Operation } from '../../operation.js'
import { pageOf, pageQuery, permissionName, roleName } from '../schemas.js'
import { pageOfAll, refuseDefined, roleParams } from './shapes.js'

const group = 'Platform: built-in roles'
const description = z.string().max(1000)
const newName = z.string().min(1).max(100)
const builtIn = { tenant: null } as const
const builtInRole = z
  .object({
    id: z.string(),
    name: z.string(),
    description: z.string(),
    isActive: z.boolean(),
    isSystem: z.boolean().openapi({ description: 'Whether it is the access definition’s: it is read-only here' }),
    permissions: z.array(z.string()).readonly(),
    includes: z.array(z.string()).readonly(),
  })
  .openapi('BuiltInRole')

/** A change of a role of the platform's own, without a body. */
const changeOf = <Params extends typeof roleParams>(
  facts: Pick<Operation, 'id' | 'summary' | 'method'> & { readonly path: string; readonly params: Params },
  run: (access: Tenancy['access'], params: z.output<Params>, actor: string) => Promise<unknown>,
  refusals: readonly (403 | 409)[] = [403, 409],
) =>
  defineOperation({
    ...{ ...facts, path: `/platform/roles/{role}${facts.path}`, group },
    access: { platform: true },
    answer: { status: 204, description: 'Done, in every tenant' },
    refusals,
    async run({ params, user, tenancy }) {
      const { role } = params as { readonly role: string }
      await refuseDefinedRole(tenancy, role)
      await run(tenancy.access, params, user.id)
    },
  })

/** A path names a role by name or id; the definition knows names. */
async function refuseDefinedRole(tenancy: Tenancy, role: string): Promise<void> {
  const { name } = await tenancy.access.getRole({ ...builtIn, role })
  await refuseDefined(tenancy, { kind: 'role', name })
}

const inPath = (name: string) => ({ param: { name, in: 'path' as const } })
const grantParams = roleParams.extend({ permission: permissionName.openapi(inPath('permission')) })
const inclusionParams = roleParams.extend({ included: roleName.openapi(inPath('included')) })

/** Roles that every tenant has. */
export const platformRoleOperations: readonly Operation[] = [
  defineOperation({
    id: 'listBuiltInRoles',
    ...{ method: 'get', path: '/platform/roles', group },
    summary: 'Lists the roles that every tenant has, by name',
    access: { platform: true },
    query: z.strictObject(pageQuery),
    answer: { status: 200, description: 'A page', schema: pageOf('BuiltInRoles', builtInRole) },
    run: async ({ query, tenancy }) => pageOfAll(await tenancy.access.listRoles(builtIn), ({ name }) => name, query),
  }),
  defineOperation({
    id: 'createBuiltInRole',
    ...{ method: 'post', path: '/platform/roles', group },
    summary: 'Creates a role for every tenant, which grants nothing yet',
    access: { platform: true },
    body: z.strictObject({ name: newName, description: description.optional() }).openapi('NewBuiltInRole'),
    answer: { status: 201, description: 'The role', schema: builtInRole },
    refusals: [409],
    recovery: {
      action: 'role.create',
      find: ({ tenancy }, { made = '' }) => tenancy.access.getRole({ ...builtIn, role: made }),
    },
    run: ({ body, user, tenancy }) => tenancy.access.createRole({ ...body, ...builtIn, actor: user.id }),
  }),
  defineOperation({
    id: 'getBuiltInRole',
    ...{ method: 'get', path: '/platform/roles/{role}', group },
    summary: 'Reads one role',
    access: { platform: true },
    params: roleParams,
    answer: { status: 200, description: 'The role', schema: builtInRole },
    run: ({ params: { role }, tenancy }) => tenancy.access.getRole({ ...builtIn, role }),
  }),
  defineOperation({
    id: 'updateBuiltInRole',
    ...{ method: 'patch', path: '/platform/roles/{role}', group },
    summary: 'Renames or describes a role; what is left out stays',
    access: { platform: true },
    params: roleParams,
    body: z
      .strictObject({ name: newName.optional(), description: description.optional() })
      .openapi('BuiltInRoleChange'),
    answer: { status: 200, description: 'The role as it is now', schema: builtInRole },
    refusals: [403, 409],
    async run({ params: { role }, body, user, tenancy }) {
      await refuseDefinedRole(tenancy, role)
      return tenancy.access.updateRole({ ...body, ...builtIn, role, actor: user.id })
    },
  }),
  changeOf(
    {
      id: 'deleteBuiltInRole',
      method: 'delete',
      path: '',
      params: roleParams,
      summary: 'Deletes a role; its holders lose it',
    },
    (access, { role }, actor) => access.deleteRole({ ...builtIn, role, actor }),
  ),
  changeOf(
    { id: 'activateBuiltInRole', method: 'post', path: '/activate', params: roleParams, summary: 'Activates a role' },
    (access, { role }, actor) => access.setRoleActive({ ...builtIn, role, isActive: true, actor }),
  ),
  changeOf(
    {
      ...{ id: 'deactivateBuiltInRole', method: 'post', path: '/deactivate', params: roleParams },
      summary: 'Deactivates a role: it grants nothing, neither itself nor by the roles that it includes',
    },
    (access, { role }, actor) => access.setRoleActive({ ...builtIn, role, isActive: false, actor }),
  ),
  changeOf(
    {
      ...{ id: 'grantToBuiltInRole', method: 'put', path: '/permissions/{permission}', params: grantParams },
      summary: 'Grants a permission to a role',
    },
    (access, { role, permission }, actor) => access.grantPermission({ ...builtIn, role, permission, actor }),
  ),
  changeOf(
    {
      ...{ id: 'revokeFromBuiltInRole', method: 'delete', path: '/permissions/{permission}', params: grantParams },
      summary: 'Revokes a permission from a role',
    },
    (access, { role, permission }, actor) => access.revokePermission({ ...builtIn, role, permission, actor }),
  ),
  changeOf(
    {
      ...{ id: 'includeInBuiltInRole', method: 'put', path: '/inclusions/{included}', params: inclusionParams },
      summary: 'Makes a role include another built-in one',
    },
    (access, { role, included }, actor) => access.includeRole({ ...builtIn, role, included, actor }),
  ),
  changeOf(
    {
      ...{ id: 'excludeFromBuiltInRole', method: 'delete', path: '/inclusions/{included}', params: inclusionParams },
      summary: 'Ends an inclusion',
    },
    (access, { role, included }, actor) => access.excludeRole({ ...builtIn, role, included, actor }),
  ),
]
