import { z } from '@hono/zod-openapi'
import { isStorable } from '../../core/text.js'

// Shapes that several groups of operations share. Names (`.openapi('Tenant')`) are those of the document's components.

const uuid = () => z.guid('must be a UUID').openapi({ format: 'uuid' })

/** A moment, as `Date` inside and as text outside. */
export const moment = z.date().openapi({ type: 'string', format: 'date-time' })
export const momentOrNull = moment.nullable().openapi({ type: ['string', 'null'], format: 'date-time' })
export const userId = uuid().openapi({ description: 'Id of a user' })
/** What the functions of `tenancy` check themselves; here only what a URL and PostgreSQL can carry. */
export const name = z
  .string()
  .min(1, 'must not be empty')
  .max(200, 'is too long')
  .refine(isStorable, 'cannot be stored')
export const roleId = uuid().openapi({ description: 'Id of a role, built in or the tenant’s own' })
export const roleName = name.openapi({ description: 'Name of a role, in its exact spelling', example: 'Admin' })
export const permissionName = name.openapi({ description: '`resource:action`', example: 'reports:read' })

export const tenantParams = z.strictObject({
  tenant: z
    .string()
    .min(1)
    .max(200)
    .openapi({ description: 'Id or slug of the tenant', example: 'acme', param: { name: 'tenant', in: 'path' } }),
})

export const tenant = z
  .object({
    id: uuid(),
    slug: z.string().openapi({ example: 'acme' }),
    name: z.string().openapi({ example: 'Acme Ltd' }),
    status: z.enum(['active', 'suspended', 'deleted']),
    contactEmail: z.string().nullable(),
    maxUsers: z.number().int().nullable().openapi({ description: 'Most members; null: no limit' }),
    labels: z.array(z.string()).readonly(),
    createdAt: moment,
    updatedAt: moment,
  })
  .openapi('Tenant')

/** As the tenant's Owners see it. */
export const impersonation = z
  .object({
    id: uuid().openapi({ description: 'As `impersonation.id` in entries of the audit log' }),
    userId: userId.openapi({ description: 'Id of the member' }),
    administratorId: userId.openapi({ description: 'Id of the administrator of the installation' }),
    administratorName: z.string().nullable().openapi({ description: 'null: the administrator was erased' }),
    reason: z.string(),
    createdAt: moment,
    expiresAt: moment,
    endedAt: momentOrNull.openapi({ description: 'When it was ended before its time; null: it was not' }),
  })
  .openapi('Impersonation')

const maxPage = 200

/** Fields of the query of a list. */
export const pageQuery = {
  after: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .openapi({ description: '`next` of the page before. Default: the first page' }),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,2}$/, `must be a whole number from 1 to ${maxPage}`)
    .transform(Number)
    .refine((count) => count <= maxPage, `must be a whole number from 1 to ${maxPage}`)
    .optional()
    .openapi({ type: 'integer', minimum: 1, maximum: maxPage, description: 'Most entries of the page. Default: 50' }),
}
export const defaultLimit = 50

/** A page of a list. */
export function pageOf<Item extends z.ZodType>(component: string, item: Item) {
  return z
    .object({
      items: z.array(item).readonly(),
      next: z.string().nullable().openapi({ description: '`after` of the next page; null: this is the last one' }),
    })
    .openapi(component)
}

/**
 * Makes a page of entries that were read with one more than asked for.
 *
 * @param cursorOf what the next page begins after
 */
export function pageFrom<Item>(read: readonly Item[], limit: number, cursorOf: (last: Item) => string) {
  const items = read.slice(0, limit)
  const last = items.at(-1)
  return { items, next: read.length > limit && last !== undefined ? cursorOf(last) : null }
}
