import { z } from '@hono/zod-openapi'
import { TenancyError } from '../../../core/errors/errors.js'
import type { Tenancy } from '../../../tenancy-interface.js'
import { defaultLimit, pageFrom, roleName, tenant, userId } from '../schemas.js'

// Shapes that the groups of the platform share.

/** A moment that may not have come. */
export const maybeMoment = z
  .date()
  .nullable()
  .openapi({ type: ['string', 'null'], format: 'date-time' })

export const platformTenant = tenant
  .extend({ createdBy: userId.nullable(), suspendedAt: maybeMoment, deletedAt: maybeMoment })
  .openapi('PlatformTenant')

export const userParams = z.strictObject({ user: userId.openapi({ param: { name: 'user', in: 'path' } }) })
export const roleParams = z.strictObject({ role: roleName.openapi({ param: { name: 'role', in: 'path' } }) })

/** Flags of a query, as text. */
export const flag = z
  .enum(['true', 'false'])
  .transform((value) => value === 'true')
  .optional()
  .openapi({ type: 'boolean' })

/** A page of a list that is read as a whole: what the installation's administrators and its code write is short. */
export function pageOfAll<Item>(
  all: readonly Item[],
  keyOf: (item: Item) => string,
  { after, limit = defaultLimit }: { readonly after?: string | undefined; readonly limit?: number | undefined },
) {
  // By code units, so that a cursor means the same whatever the database's collation is.
  const sorted = all.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
  const following = after === undefined ? sorted : sorted.filter((item) => keyOf(item) > after)
  return pageFrom(following, limit, keyOf)
}

/**
 * Refuses to change an entry of the access definition: the application's code says what it is.
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINED_IN_CODE
 */
export async function refuseDefined(
  { access }: Tenancy,
  entry: Parameters<Tenancy['access']['isDefined']>[0],
): Promise<void> {
  if (!(await access.isDefined(entry))) return
  const message = `The access definition of the application has the ${entry.kind} ${JSON.stringify(entry.name)}`
  throw new TenancyError('TENANCY_ACCESS_DEFINED_IN_CODE', message)
}
