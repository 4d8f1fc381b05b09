import type {
  AccessDefinition,
  AccessRules,
  Guard,
  MemberAccess,
  MemberGrants,
  Requirement,
  RuleSet,
  RuleSetReader,
} from '../core/access/access.js'
import { TenancyError } from '../core/errors/errors.js'
import { CompiledRuleSet } from './compiled-rule-set.js'
import { compileMemberAccess } from './member-access.js'
import { holdsAny, type PermissionMask } from './permission-mask.js'

/**
 * Creates the installation's rule set. It denies everybody until the first `refresh()`, and a guard that no rule and
 * no permission answers to denies everybody.
 *
 * How a route finds its rule: rules of the same number of segments whose literal segments are byte for byte the same
 * and whose `{param}` segments stand for one segment each; of these the one with a literal at the first position where
 * they differ; then the exact method before `*` (HEAD takes a GET rule when it has none of its own). Rules with the
 * same shape and method name alternatives: any one of their permissions is enough. A rule or permission that is
 * switched off stays in place and gives nothing, so switching off never opens a wider rule.
 *
 * A guard by role counts built-in roles only: a tenant may name a role of its own as it likes.
 *
 * @param definition the application's: a guard for a role that it does not have is refused, and what it has is known even
 * where a newer release has retired it in the catalog. Default: none
 */
export function createAccessRules(reader: RuleSetReader, definition?: AccessDefinition): AccessRules {
  const latest = { ruleSet: new CompiledRuleSet({ epoch: 0, permissions: [], routes: [], roles: [] }) }
  const defined = definition && new CompiledRuleSet(ruleSetOf(definition))
  let running = Promise.resolve()
  let queued: Promise<void> | undefined

  const read = async (): Promise<void> => {
    latest.ruleSet = new CompiledRuleSet(await reader.readRuleSet())
  }
  const refuseUnknownRole = (name: string): void => {
    if (definition === undefined || definition.roles.some((role) => role.name === name)) return
    const names = definition.roles.map((role) => role.name).join(', ')
    throw new TenancyError(
      'TENANCY_ACCESS_DEFINITION_INVALID',
      `requireRole(${JSON.stringify(name)}): the access definition has no such role, but ${names}`,
    )
  }

  return {
    get epoch() {
      return latest.ruleSet.epoch
    },
    compile: (grants: MemberGrants) => compileMemberAccess(grants, (role) => latest.ruleSet.isBuiltInRole(role)),
    guard(requirement: Requirement): Guard {
      if (requirement.kind !== 'role') return new PermissionGuard(requirement, latest)
      refuseUnknownRole(requirement.name)
      return { requirement, allows: (access) => access.hasRole(requirement.name) }
    },
    knows: (requirement) => latest.ruleSet.defines(requirement) || defined?.defines(requirement) === true,
    // A read that is already under way may have missed the change that the caller knows of: the next one has not.
    refresh() {
      queued ??= running
        .catch(() => {})
        .then(() => {
          queued = undefined
          running = read()
          return running
        })
      return queued
    },
    can(access: MemberAccess, permissionOrMethod: string, path?: string) {
      const { ruleSet } = latest
      const found =
        path === undefined ? ruleSet.permission(permissionOrMethod) : ruleSet.matchPath(permissionOrMethod, path)
      return holdsAny(access, found?.mask)
    },
    permissionsOf: (access) =>
      [...latest.ruleSet.permissionNames]
        .flatMap(([id, name]) => (access.hasPermissionId(id) ? [name] : []))
        .toSorted(),
  }
}

/** A definition as a rule set that only says what is there. */
function ruleSetOf({ permissions, routes, roles }: AccessDefinition): RuleSet {
  return {
    epoch: 0,
    permissions: permissions.map(({ name }, id) => ({ id, name, isActive: true })),
    routes: routes.map(({ method, path }) => ({ method, path, permissionId: 0, isActive: true })),
    roles: roles.map(({ name }) => name),
  }
}

/** Bound when it is made, and again when the rule set is another one; in between a check is a comparison of bits. */
class PermissionGuard implements Guard {
  readonly requirement: Exclude<Requirement, { kind: 'role' }>
  readonly #latest: { readonly ruleSet: CompiledRuleSet }
  #boundTo: CompiledRuleSet | undefined
  // The first part of the mask, here and not behind a pointer: for most guards it is all of it.
  #word = 0
  #bits = 0
  #others: PermissionMask | undefined

  constructor(requirement: Exclude<Requirement, { kind: 'role' }>, latest: { readonly ruleSet: CompiledRuleSet }) {
    this.requirement = requirement
    this.#latest = latest
    this.#bind()
  }

  allows(access: MemberAccess): boolean {
    if (this.#boundTo !== this.#latest.ruleSet) this.#bind()
    return access.hasPermissionBits(this.#word, this.#bits) || holdsAny(access, this.#others)
  }

  #bind(): void {
    const { ruleSet } = this.#latest
    const { mask } = ruleSet.alternativesOf(this.requirement)
    // No mask: no bit is asked for, so that nobody holds it.
    this.#word = mask?.word ?? 0
    this.#bits = mask?.bits ?? 0
    this.#others = mask?.next
    this.#boundTo = ruleSet
  }
}
