import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../../operation.js'
import { findPermission } from '../permissions.js'
import { name, pageOf, pageQuery, permissionName } from '../schemas.js'
import { pageOfAll, refuseDefined } from './shapes.js'

const group = 'Platform: permissions'
const description = z.string().max(1000)
const category = name.nullable().openapi({ description: 'Name of a category; null: none' })
const params = z.strictObject({
  permission: permissionName.openapi({ param: { name: 'permission', in: 'path' } }),
})
const permission = z
  .object({
    name: z.string(),
    description: z.string(),
    category: z.string().nullable(),
    isActive: z.boolean(),
    isSystem: z.boolean().openapi({ description: 'Whether it is the access definition’s: it is read-only here' }),
  })
  .openapi('PlatformPermission')

interface NewPermission {
  readonly name: string
  readonly description?: string | undefined
  readonly category?: string | null | undefined
}
const madeOf = ({ name: created, description: text = '', category: of = null }: NewPermission) => ({
  ...{ name: created, description: text, category: of, isActive: true, isSystem: false },
})

const activation = (isActive: boolean, id: string, summary: string) =>
  defineOperation({
    ...{ id, summary, method: 'post', params, group },
    path: `/platform/permissions/{permission}/${isActive ? 'activate' : 'deactivate'}`,
    access: { platform: true },
    answer: { status: 204, description: 'Done, in every tenant' },
    refusals: [409],
    async run({ params: { permission: of }, user, tenancy }) {
      await refuseDefined(tenancy, { kind: 'permission', name: of })
      await tenancy.access.setPermissionActive({ permission: of, isActive, actor: user.id })
    },
  })

/** Permissions. Tenants may have built on one, so it is deactivated, not deleted. */
export const permissionOperations: readonly Operation[] = [
  defineOperation({
    id: 'listPlatformPermissions',
    ...{ method: 'get', path: '/platform/permissions', group },
    summary: 'Lists permissions by name',
    access: { platform: true },
    query: z.strictObject(pageQuery),
    answer: { status: 200, description: 'A page', schema: pageOf('PlatformPermissions', permission) },
    run: async ({ query, tenancy }) => pageOfAll(await tenancy.access.listPermissions(), (item) => item.name, query),
  }),
  defineOperation({
    id: 'getPlatformPermission',
    ...{ method: 'get', path: '/platform/permissions/{permission}', group },
    summary: 'Reads one permission',
    access: { platform: true },
    params,
    answer: { status: 200, description: 'The permission', schema: permission },
    run: ({ params: { permission: of }, tenancy }) => findPermission(tenancy, of),
  }),
  defineOperation({
    id: 'createPermission',
    ...{ method: 'post', path: '/platform/permissions', group },
    summary: 'Creates a permission that no role or member holds yet',
    access: { platform: true },
    body: z
      .strictObject({ name: permissionName, description: description.optional(), category: category.optional() })
      .openapi('NewPermission'),
    answer: { status: 201, description: 'The permission', schema: permission },
    refusals: [409],
    recovery: { action: 'permission.create', find: async ({ body }) => madeOf(body) },
    async run({ body, user, tenancy }) {
      await tenancy.access.createPermission({ ...body, actor: user.id })
      return madeOf(body)
    },
  }),
  defineOperation({
    id: 'updatePermission',
    ...{ method: 'patch', path: '/platform/permissions/{permission}', group },
    summary: 'Describes a permission, or changes its category; what is left out stays',
    access: { platform: true },
    params,
    body: z
      .strictObject({ description: description.optional(), category: category.optional() })
      .openapi('PermissionChange'),
    answer: { status: 204, description: 'Changed' },
    refusals: [409],
    async run({ params: { permission: of }, body, user, tenancy }) {
      await refuseDefined(tenancy, { kind: 'permission', name: of })
      await tenancy.access.updatePermission({ ...body, permission: of, actor: user.id })
    },
  }),
  activation(true, 'activatePermission', 'Activates a permission'),
  activation(false, 'deactivatePermission', 'Deactivates a permission: it grants nothing to anybody'),
]
