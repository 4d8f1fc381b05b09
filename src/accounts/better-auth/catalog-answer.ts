import { isTenancyError, TenancyError } from '../../core/errors/errors.js'

/**
 * What the catalog answers. That it does not is an outage, never a wrong password or a bad link.
 *
 * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
 */
export async function answered<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    if (isTenancyError(error)) throw error
    throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog did not answer a question about accounts', {
      cause: error,
    })
  }
}
