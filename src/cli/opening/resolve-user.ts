import { TenancyError } from '../../core/errors/errors.js'
import { isUuid } from '../../core/uuid.js'
import type { Tenancy } from '../../tenancy-interface.js'
import { rememberTypedName } from './typed-names.js'

/**
 * Finds the id of a user who is named by e-mail address or id. An id is not looked up: what it is used for says whether there
 * is such a user.
 *
 * @throws {@link TenancyError} TENANCY_USER_NOT_FOUND
 */
export async function resolveUser(tenancy: Pick<Tenancy, 'findUserByEmail'>, named: string): Promise<string> {
  if (isUuid(named)) return named.toLowerCase()
  const user = await tenancy.findUserByEmail(named)
  if (user !== undefined) {
    rememberTypedName(user.id, named)
    return user.id
  }
  throw new TenancyError('TENANCY_USER_NOT_FOUND', `No user ${JSON.stringify(named)}: check the e-mail address or id`)
}
