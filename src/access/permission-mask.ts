import type { MemberAccess } from '../core/access/access.js'
import { isPermissionId } from './member-access.js'

/**
 * Permissions of which any one is enough, as bits. The mask has one part for each word of a member's bitset that they touch,
 * so exactly one part for one permission. undefined instead of a mask: nobody has access.
 */
export interface PermissionMask {
  readonly word: number
  readonly bits: number
  readonly next: PermissionMask | undefined
}

/** Compiles permission ids, once per rule set. Leaves out ids that nobody can hold. */
export function compileMask(permissionIds: readonly number[]): PermissionMask | undefined {
  const words = new Map<number, number>()
  for (const id of permissionIds) {
    if (isPermissionId(id)) words.set(id >>> 5, (words.get(id >>> 5) ?? 0) | (1 << (id & 31)))
  }
  let mask: PermissionMask | undefined
  for (const [word, bits] of words) mask = { word, bits, next: mask }
  return mask
}

/** Tells whether the member holds at least one of the permissions. */
export function holdsAny(access: MemberAccess, mask: PermissionMask | undefined): boolean {
  for (let part = mask; part !== undefined; part = part.next) {
    if (access.hasPermissionBits(part.word, part.bits)) return true
  }
  return false
}
