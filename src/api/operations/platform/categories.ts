import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../../operation.js'
import { name, pageOf, pageQuery } from '../schemas.js'
import { pageOfAll, refuseDefined } from './shapes.js'

const group = 'Platform: permissions'
const description = z.string().max(1000)
const newName = z.string().min(1).max(100)
const params = z.strictObject({ category: name.openapi({ param: { name: 'category', in: 'path' } }) })
const category = z
  .object({
    name: z.string(),
    description: z.string(),
    isSystem: z.boolean().openapi({ description: 'Whether it is the access definition’s: it is read-only here' }),
  })
  .openapi('PlatformPermissionCategory')

const madeOf = (body: { readonly name: string; readonly description?: string | undefined }) => ({
  ...{ name: body.name, description: body.description ?? '', isSystem: false },
})

/** Groups of permissions, for display. */
export const categoryOperations: readonly Operation[] = [
  defineOperation({
    id: 'listCategories',
    ...{ method: 'get', path: '/platform/categories', group },
    summary: 'Lists categories of permissions by name',
    access: { platform: true },
    query: z.strictObject(pageQuery),
    answer: { status: 200, description: 'A page', schema: pageOf('PermissionCategories', category) },
    run: async ({ query, tenancy }) => pageOfAll(await tenancy.access.listCategories(), (item) => item.name, query),
  }),
  defineOperation({
    id: 'createCategory',
    ...{ method: 'post', path: '/platform/categories', group },
    summary: 'Creates a category',
    access: { platform: true },
    body: z.strictObject({ name: newName, description: description.optional() }).openapi('NewCategory'),
    answer: { status: 201, description: 'The category', schema: category },
    refusals: [409],
    recovery: { action: 'category.create', find: async ({ body }) => madeOf(body) },
    async run({ body, user, tenancy }) {
      await tenancy.access.createCategory({ ...body, actor: user.id })
      return madeOf(body)
    },
  }),
  defineOperation({
    id: 'updateCategory',
    ...{ method: 'patch', path: '/platform/categories/{category}', group },
    summary: 'Renames or describes a category; what is left out stays',
    access: { platform: true },
    params,
    body: z.strictObject({ name: newName.optional(), description: description.optional() }).openapi('CategoryChange'),
    answer: { status: 204, description: 'Changed' },
    refusals: [409],
    async run({ params: { category: of }, body, user, tenancy }) {
      await refuseDefined(tenancy, { kind: 'category', name: of })
      await tenancy.access.updateCategory({ ...body, category: of, actor: user.id })
    },
  }),
  defineOperation({
    id: 'deleteCategory',
    ...{ method: 'delete', path: '/platform/categories/{category}', group },
    summary: 'Deletes a category; its permissions stay, without one',
    access: { platform: true },
    params,
    answer: { status: 204, description: 'Deleted' },
    refusals: [409],
    async run({ params: { category: of }, user, tenancy }) {
      await refuseDefined(tenancy, { kind: 'category', name: of })
      await tenancy.access.deleteCategory({ category: of, actor: user.id })
    },
  }),
]
