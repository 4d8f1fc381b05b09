import { TenancyError } from '../../core/errors/errors.js'
import { catalogStates, hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'

export const slugTaken = (slug: string): TenancyError =>
  new TenancyError('TENANCY_TENANT_SLUG_TAKEN', `The slug "${slug}" is taken: choose another`)

export const ownerUnknown = (owner: string): TenancyError =>
  new TenancyError('TENANCY_USER_NOT_FOUND', `The owner ${owner} does not exist or is disabled: check the user id`)

/** The error of a transaction that makes a tenant. */
export function explainRefusedTenant(
  error: unknown,
  { slug, owner }: { readonly slug: string; readonly owner: string },
): unknown {
  const { constraint } = error as { constraint?: unknown }
  if (hasSqlState(error, sqlStates.uniqueViolation) && constraint === 'tenants_slug_key') return slugTaken(slug)
  if (hasSqlState(error, catalogStates.ownerUnknown)) return ownerUnknown(owner)
  return error
}
