import type { MemberAccess, MemberGrants } from '../core/access/access.js'

/** The highest permission id that a bitset has room for (128 KiB). Higher ids count as not held. */
const maxPermissionId = 2 ** 20 - 1

/** Tells whether the catalog can give out `id` and a bitset can hold it. */
export function isPermissionId(id: number): boolean {
  return Number.isInteger(id) && id > 0 && id <= maxPermissionId
}

/** A member's permissions as bits: bit `id % 32` of word `id / 32`. */
class BitsetAccess implements MemberAccess {
  readonly roles: readonly string[]
  readonly #builtInRoles: readonly string[]
  // Signed, because V8 keeps those words as small integers: an unsigned one above 2^31 is an object when it is read.
  readonly #words: Int32Array

  constructor(roles: readonly string[], builtInRoles: readonly string[], words: Int32Array) {
    this.roles = roles
    this.#builtInRoles = builtInRoles
    this.#words = words
  }

  hasRole(name: string): boolean {
    return this.#builtInRoles.includes(name)
  }

  hasPermissionId(id: number): boolean {
    return isPermissionId(id) && this.hasPermissionBits(id >>> 5, 1 << (id & 31))
  }

  hasPermissionBits(word: number, bits: number): boolean {
    const words = this.#words
    return word < words.length && ((words[word] as number) & bits) !== 0
  }
}

/**
 * Compiles a member's grants from the catalog. Ids that are not positive whole numbers in range count as not held.
 *
 * @param isBuiltIn tells whether a role of this name is built in. The catalog keeps tenants from using the same name
 */
export function compileMemberAccess(grants: MemberGrants, isBuiltIn: (role: string) => boolean): MemberAccess {
  const ids = grants.permissionIds.filter(isPermissionId)
  const highest = ids.reduce((most, id) => Math.max(most, id), -1)
  const words = new Int32Array(highest < 0 ? 0 : (highest >>> 5) + 1)
  for (const id of ids) words[id >>> 5] = (words[id >>> 5] ?? 0) | (1 << (id & 31))
  return new BitsetAccess(Object.freeze([...grants.roles]), grants.roles.filter(isBuiltIn), words)
}
