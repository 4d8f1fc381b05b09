import type { MemberRecord } from '../../core/access/access.js'
import type { UserRecord } from '../../core/identity/identity.js'

/** Objects and dates of a record, without its texts and lists. */
const frameBytes = 1000

/** About how much memory a user takes. */
export function userBytes({ user }: UserRecord): number {
  return frameBytes + 2 * lettersOf(user)
}

/** About how much memory a member takes, with what is compiled of it. */
export function memberBytes({ tenant, grants }: MemberRecord): number {
  const roleBytes = grants.roles.reduce((sum, role) => sum + 2 * role.length + 32, 0)
  return frameBytes + 2 * lettersOf(tenant) + roleBytes + 8 * grants.permissionIds.length
}

function lettersOf(row: object): number {
  const values = (Object.values(row) as unknown[]).flat()
  return values.reduce<number>((sum, value) => sum + (typeof value === 'string' ? value.length : 0), 0)
}
