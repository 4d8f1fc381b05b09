import { TenancyError } from '../../core/errors/errors.js'

/**
 * What happens to a guard that names a permission, role or route rule which nobody has defined. `refuse`: its route can't be
 * registered. `warn`: it is logged and refuses everybody until somebody defines it, at run time.
 */
export type UndefinedAccess = 'refuse' | 'warn'

/** Makes the function that is told of each undefined requirement: it throws TENANCY_ACCESS_DEFINITION_INVALID, or warns. */
export function reportUndefinedAccess(
  undefinedAccess: UndefinedAccess,
  warn: (message: string) => void,
): (message: string) => void {
  if (undefinedAccess === 'warn') return warn
  return (message) => {
    throw new TenancyError(
      'TENANCY_ACCESS_DEFINITION_INVALID',
      `${message}. Define it before the start, or let guards wait for it: undefinedAccess: 'warn'`,
    )
  }
}
