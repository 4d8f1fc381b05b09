import type { MemberRecord } from '../core/access/access.js'
import type { UserRecord } from '../core/identity/identity.js'

/** Objects and dates of a record, without its texts and lists. */
const frameBytes = 1000

/** About how much memory a user takes. */
export function userBytes({ user }: UserRecord): number {
  return frameBytes + 2 * (user.email.length + user.name.length + (user.image?.length ?? 0))
}

/** About how much memory a member takes, with what is compiled of it. */
export function memberBytes({ tenant, grants }: MemberRecord): number {
  const letters = tenant.name.length + tenant.slug.length + (tenant.contactEmail?.length ?? 0)
  const roleBytes = grants.roles.reduce((sum, role) => sum + 2 * role.length + 32, 0)
  return frameBytes + 2 * letters + roleBytes + 8 * grants.permissionIds.length
}
