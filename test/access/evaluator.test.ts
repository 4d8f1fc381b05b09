import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AccessRules, MemberAccess, MemberGrants, Requirement, RuleSet } from '../../src/core/access/access.js'
import { heldNames, mayMember, mayMemberSend } from './reference-evaluator.js'
import { rulesOf } from './rules-fixture.js'

describe('the compiled evaluator and the naive reference', () => {
  const segment = fc.constantFrom('a', 'b', 'A', '{x}', '{y}')
  const path = fc.array(segment, { maxLength: 3 }).map((segments) => `/${segments.join('/')}`)
  // Few ids, so that rules, permissions and members overlap; on both sides of a word of the bitset, and several words apart.
  const ids = [1, 2, 5, 30, 31, 32, 33, 63, 64, 65, 200, 1000]
  const id = fc.constantFrom(...ids)
  const nameOf = (permissionId: number) => `p${permissionId}:do`
  const policy = fc.record<RuleSet>({
    epoch: fc.constant(1),
    permissions: fc
      .uniqueArray(fc.record({ id, isActive: fc.boolean() }), {
        selector: (permission) => permission.id,
        maxLength: ids.length,
      })
      .map((list) => list.map((permission) => ({ ...permission, name: nameOf(permission.id) }))),
    routes: fc.array(
      fc.record({
        method: fc.constantFrom('GET', 'POST', 'HEAD', '*'),
        path,
        permissionId: id,
        isActive: fc.boolean(),
      }),
      { maxLength: 12 },
    ),
    // Clerk is a tenant's own role.
    roles: fc.constant(['Owner', 'Member']),
  })
  const grants = fc.record<MemberGrants>({
    roles: fc.subarray(['Owner', 'Member', 'Clerk']),
    permissionIds: fc.uniqueArray(id, { maxLength: ids.length }),
    changesAtMs: fc.constant(null),
  })
  const method = fc.constantFrom('GET', 'POST', 'HEAD', 'PUT', 'get', '*', '')
  const hostilePath = fc.oneof(
    path,
    fc
      .array(fc.constantFrom('a', 'b', '', '.', '..', '%61', 'a%2fb', '\0', 'é'), { maxLength: 4 })
      .map((list) => `/${list.join('/')}`),
    fc.string({ maxLength: 12 }),
  )
  const requirement = fc.oneof(
    fc.record({ kind: fc.constant('route' as const), method, path: hostilePath }),
    fc.record({
      kind: fc.constant('permission' as const),
      name: fc.constantFrom(...ids.map(nameOf), 'no:such', 'toString'),
    }),
    fc.record({ kind: fc.constant('role' as const), name: fc.constantFrom('Owner', 'Member', 'owner', 'Clerk') }),
  )

  test('The compiled evaluator and the naive reference agree on 120,000 questions over 20,000 random policies and members', async () => {
    let allowed = 0
    const questions = fc.array(requirement, { minLength: 6, maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(policy, grants, questions, async (ruleSet, held, asked) => {
        const rules = await rulesOf(ruleSet)
        const access = rules.compile(held)
        const compiled = asked.map((question) => [
          rules.guard(question).allows(access),
          canAsk(rules, access, question),
          question,
        ])
        const naive = asked.map((question) => {
          const expected = mayMember(ruleSet, held, question)
          const direct =
            question.kind === 'route' ? mayMemberSend(ruleSet, held, question.method, question.path) : expected
          return [expected, direct, question]
        })
        expect(compiled).toEqual(naive)
        expect(rules.permissionsOf(access)).toEqual(heldNames(ruleSet, held))
        allowed += naive.filter(([expected]) => expected === true).length
      }),
      { numRuns: 20_000 },
    )
    // Comparing only refusals would prove little.
    expect(allowed).toBeGreaterThan(10_000)
  }, 120_000)
})

function canAsk(rules: AccessRules, access: MemberAccess, question: Requirement): boolean {
  if (question.kind === 'route') return rules.can(access, question.method, question.path)
  return question.kind === 'permission' ? rules.can(access, question.name) : access.hasRole(question.name)
}
