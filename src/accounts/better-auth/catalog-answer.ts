import { isTenancyError, TenancyError } from '../../core/errors/errors.js'

/**
 * Waits for the catalog's answer. A missing answer is an outage, never a wrong password or a bad link.
 *
 * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
 */
export async function answered<Result>(question: Promise<Result>): Promise<Result> {
  try {
    return await question
  } catch (error) {
    if (isTenancyError(error)) throw error
    throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog did not answer a question about accounts', {
      cause: error,
    })
  }
}
