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
 * Creates the installation's rule set. It denies everybody until the first `refresh()`. A guard without a matching rule or
 * permission denies everybody, too.
 *
 * A route finds its rule among those with the same number of segments, whose literal segments are equal byte for byte and
 * whose `{param}` segments stand for one segment each. Of these, the rule with a literal at the first position where they
 * differ is used; then the exact method before `*` (HEAD uses a GET rule if it has none of its own). Rules with the same
 * shape and method are alternatives: any one of their permissions is enough. A rule or permission that is switched off stays
 * in place and gives nothing, so switching off never opens a wider rule.
 *
 * A guard by role counts built-in roles only, because a tenant can give its own roles any name.
 *
 * @param definition the application's definition. A guard for a role that it lacks is refused. Names that it has count as
 * defined even if a newer release has retired them in the catalog. Default: none
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
    // A running read may have missed the change that the caller knows of, so this waits for the next one.
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
    permissionsOf: (access) => latest.ruleSet.namesOfHeld(access),
  }
}

/** Converts a definition to a rule set that only tells which names are defined. */
function ruleSetOf({ permissions, routes, roles }: AccessDefinition): RuleSet {
  return {
    epoch: 0,
    permissions: permissions.map(({ name }, id) => ({ id, name, isActive: true })),
    routes: routes.map(({ method, path }) => ({ method, path, permissionId: 0, isActive: true })),
    roles: roles.map(({ name }) => name),
  }
}

/** A guard for a permission or route. It binds to each new rule set once; after that a check compares bits. */
class PermissionGuard implements Guard {
  readonly requirement: Exclude<Requirement, { kind: 'role' }>
  readonly #latest: { readonly ruleSet: CompiledRuleSet }
  #boundTo: CompiledRuleSet | undefined
  // The first part of the mask, inlined: most guards have only one.
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
    // Without a mask no bit is compared, so nobody passes.
    this.#word = mask?.word ?? 0
    this.#bits = mask?.bits ?? 0
    this.#others = mask?.next
    this.#boundTo = ruleSet
  }
}
