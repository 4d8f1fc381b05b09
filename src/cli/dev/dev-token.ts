import type { Tenancy } from '../../tenancy-interface.js'
import { TenancyError } from '../../core/errors/errors.js'

const devEmail = 'dev@example.com'
const devTenant = 'demo'

/** A token, and whom it is for. */
export interface DevToken {
  readonly token: string
  readonly expiresIn: number
  readonly email: string
  /** Slugs of the user's tenants. */
  readonly tenants: readonly string[]
}

/**
 * Issues a token. Without an address it is for a user of development, who is made when missing, and who owns the tenant `demo`,
 * which is made when there is no tenant yet.
 *
 * @throws {@link TenancyError} TENANCY_USER_NOT_FOUND
 */
export async function issueDevToken(tenancy: Tenancy, email = devEmail): Promise<DevToken> {
  let user = await tenancy.findUserByEmail(email)
  if (user === undefined && email !== devEmail) {
    throw new TenancyError('TENANCY_USER_NOT_FOUND', `No user ${JSON.stringify(email)}: check the e-mail address`)
  }
  user ??= await tenancy.createUser({ email, name: 'Developer', emailVerified: true })
  const isAlone = (await tenancy.listTenants({ limit: 1 })).length === 0
  if (email === devEmail && isAlone) await tenancy.createTenant({ slug: devTenant, name: 'Demo', owner: user.id })
  const { token, expiresIn } = await tenancy.issueAccessToken({ user: user.id })
  const memberships = await tenancy.listMemberships(user.id)
  return { token, expiresIn, email, tenants: memberships.map(({ slug }) => slug) }
}
