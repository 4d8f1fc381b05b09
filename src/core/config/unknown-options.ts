import { TenancyError } from '../errors/errors.js'

/**
 * Refuses options that nobody reads: a misspelled one would be as if it had not been given.
 *
 * @param of the function that takes them
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID
 */
export function refuseUnknownOptions(of: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).filter((name) => !known.includes(name))
  if (unknown.length === 0) return
  const names = unknown.map((name) => JSON.stringify(name)).join(', ')
  throw new TenancyError('TENANCY_CONFIG_INVALID', `${of} has no option ${names}; it takes ${known.join(', ')}`)
}
