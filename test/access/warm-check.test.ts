import { describe, expect, test } from 'vitest'
import type { Guard, MemberAccess, RuleSet } from '../../src/core/access/access.js'
import { rulesOf } from './rules-fixture.js'

const checks = 100_000
const ids = Array.from({ length: 200 }, (_, index) => index + 1)
const ruleSet: RuleSet = {
  epoch: 1,
  permissions: ids.map((id) => ({ id, name: `p${id}:do`, isActive: true })),
  // Every third rule has an alternative, in another word of the bitset.
  routes: ids.flatMap((id) =>
    [id, ...(id % 3 === 0 ? [((id + 96) % 200) + 1] : [])].map((permissionId) => ({
      method: 'GET',
      path: `/r${id}/{x}`,
      permissionId,
      isActive: true,
    })),
  ),
  roles: [],
}

function checkAll(guards: readonly Guard[], members: readonly MemberAccess[], count: number): number {
  let allowed = 0
  for (let index = 0; index < count; index += 1) {
    const guard = guards[index % guards.length] as Guard
    if (guard.allows(members[index % members.length] as MemberAccess)) allowed += 1
  }
  return allowed
}

/** Bytes that `callback` allocates: the median of several runs, because the garbage collector interrupts a few. */
function bytesOf(callback: () => unknown): number {
  const runs: number[] = []
  for (let run = 0; run < 20; run += 1) {
    const before = process.memoryUsage().heapUsed
    callback()
    const bytes = process.memoryUsage().heapUsed - before
    runs.push(bytes)
  }
  return runs.toSorted((a, b) => a - b)[runs.length / 2] as number
}

describe('a warm check', () => {
  test('A warm check allocates nothing: not one byte in ten checks', async () => {
    const rules = await rulesOf(ruleSet)
    const byName = ids.map((id) => rules.guard({ kind: 'permission', name: `p${id}:do` }))
    const byRoute = ids.map((id) => rules.guard({ kind: 'route', method: 'GET', path: `/r${id}/{x}` }))
    const members = Array.from({ length: 50 }, (_, member) =>
      rules.compile({
        roles: ['Member'],
        permissionIds: ids.filter((id) => (id * 7 + member * 13) % 5 < 2),
        changesAtMs: null,
      }),
    )
    const guards = [...byName, ...byRoute]
    expect(checkAll(guards, members, checks)).toBeGreaterThan(checks / 10)
    expect(bytesOf(() => checkAll(guards, members, checks))).toBeLessThan(checks / 10)
    // The measurement notices even an object of two words for each check.
    const seen: object[] = []
    expect(
      bytesOf(() => {
        seen.length = 0
        for (let index = 0; index < checks; index += 1) seen.push({ index })
      }),
    ).toBeGreaterThan(checks)
  })

  test('A warm check compares precomputed bits, once for each word of the bitset that its alternatives touch', async () => {
    const rules = await rulesOf(ruleSet)
    const asked: string[] = []
    const access: MemberAccess = {
      roles: [],
      hasRole: () => false,
      hasPermissionId: () => false,
      hasPermissionBits(word, bits) {
        asked.push(`${word}:${bits >>> 0}`)
        return false
      },
    }
    expect(rules.guard({ kind: 'permission', name: 'p32:do' }).allows(access)).toBe(false)
    expect(asked.splice(0)).toEqual(['1:1'])
    // 3 is bit 3 of word 0; its alternative 100 is bit 4 of word 3.
    expect(rules.guard({ kind: 'route', method: 'GET', path: '/r3/{x}' }).allows(access)).toBe(false)
    expect(asked.splice(0).toSorted()).toEqual(['0:8', '3:16'])
    // A requirement without a rule compares no bit at all.
    expect(rules.guard({ kind: 'permission', name: 'no:such' }).allows(access)).toBe(false)
    expect(asked).toEqual(['0:0'])
  })
})
