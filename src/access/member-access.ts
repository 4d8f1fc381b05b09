import type { MemberAccess, MemberGrants } from '../core/access.js'

/** The highest permission id that a bitset has room for (128 KiB); what lies beyond is not held. */
export const maxPermissionId = 2 ** 20 - 1

/** A member's permissions as bits: bit `id % 32` of word `id / 32`. */
class BitsetAccess implements MemberAccess {
  readonly roles: readonly string[]
  readonly #words: Uint32Array

  constructor(roles: readonly string[], words: Uint32Array) {
    this.roles = roles
    this.#words = words
  }

  hasRole(name: string): boolean {
    return this.roles.includes(name)
  }

  hasPermissionId(id: number): boolean {
    // A word beyond the end is undefined, which `&` takes for 0.
    return ((this.#words[id >>> 5] as number) & (1 << (id & 31))) !== 0
  }
}

/** Compiles what the catalog says of a member. Ids that are no positive whole numbers in range are not held. */
export function compileMemberAccess(grants: MemberGrants): MemberAccess {
  const ids = grants.permissionIds.filter((id) => Number.isInteger(id) && id > 0 && id <= maxPermissionId)
  const highest = ids.reduce((most, id) => Math.max(most, id), -1)
  const words = new Uint32Array(highest < 0 ? 0 : (highest >>> 5) + 1)
  for (const id of ids) words[id >>> 5] = (words[id >>> 5] ?? 0) | (1 << (id & 31))
  return new BitsetAccess(Object.freeze([...grants.roles]), words)
}
