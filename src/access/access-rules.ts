import type { AccessRules, Guard, MemberAccess, MemberGrants, Requirement, RuleSetReader } from '../core/access.js'
import { CompiledRuleSet } from './compiled-rule-set.js'
import { compileMemberAccess } from './member-access.js'

/** Why a member may or may not: the deciding rule, what it asks for, and what of that the member holds. */
export interface AccessExplanation {
  readonly allowed: boolean
  /** The most specific matching route rule as written, for a route or a path; undefined when none matches. */
  readonly rule: string | undefined
  /** Permissions (or the role) any one of which is enough; empty: nobody has access. */
  readonly needs: readonly string[]
  readonly holds: readonly string[]
}

/** {@link AccessRules} with the questions that take a concrete path. */
export interface CompiledAccessRules extends AccessRules {
  can(access: MemberAccess, permission: string): boolean
  /** Whether the member may send `method` to a concrete path such as `/reports/42`. */
  can(access: MemberAccess, method: string, path: string): boolean
  /** Names of the permissions any one of which opens a concrete path; empty: nobody has access. */
  matchPath(method: string, path: string): string[]
  explain(access: MemberAccess, requirement: Requirement): AccessExplanation
}

/**
 * Creates the installation's rule set. It denies everybody until the first `refresh()`, and a guard that no rule and
 * no permission answers to denies everybody.
 *
 * How a route finds its rule: rules of the same number of segments whose literal segments are byte for byte the same
 * and whose `{param}` segments stand for one segment each; of these the one with a literal at the first position where
 * they differ; then the exact method before `*` (HEAD takes a GET rule when it has none of its own). Rules with the
 * same shape and method name alternatives: any one of their permissions is enough. A rule or permission that is
 * switched off stays in place and gives nothing, so switching off never opens a wider rule.
 */
export function createAccessRules(reader: RuleSetReader): CompiledAccessRules {
  let current = new CompiledRuleSet({ epoch: 0, permissions: [], routes: [], roles: [] })
  let running = Promise.resolve()
  let queued: Promise<void> | undefined

  const read = async (): Promise<void> => {
    current = new CompiledRuleSet(await reader.readRuleSet())
  }
  const namesOf = (ids: readonly number[]): string[] => ids.flatMap((id) => current.permissionNames.get(id) ?? [])

  return {
    get epoch() {
      return current.epoch
    },
    compile: (grants: MemberGrants) => compileMemberAccess(grants),
    guard: (requirement: Requirement): Guard =>
      requirement.kind === 'role'
        ? { requirement, allows: (access) => access.hasRole(requirement.name) }
        : new PermissionGuard(requirement, () => current),
    knows: (requirement) =>
      requirement.kind === 'role'
        ? current.isBuiltInRole(requirement.name)
        : current.permissionIdsOf(requirement).length > 0,
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
      const ids =
        path === undefined
          ? current.permissionIdsOf({ kind: 'permission', name: permissionOrMethod })
          : (current.matchPath(permissionOrMethod, path)?.permissionIds ?? [])
      return holdsAny(access, ids)
    },
    matchPath: (method, path) => namesOf(current.matchPath(method, path)?.permissionIds ?? []),
    permissionsOf: (access) =>
      [...current.permissionNames].flatMap(([id, name]) => (access.hasPermissionId(id) ? [name] : [])).toSorted(),
    explain(access, requirement) {
      if (requirement.kind === 'role') {
        const allowed = access.hasRole(requirement.name)
        return { allowed, rule: undefined, needs: [requirement.name], holds: allowed ? [requirement.name] : [] }
      }
      const ids = current.permissionIdsOf(requirement)
      const holds = namesOf(ids.filter((id) => access.hasPermissionId(id)))
      const rule =
        requirement.kind === 'route' ? current.matchTemplate(requirement.method, requirement.path)?.rule : undefined
      return { allowed: holds.length > 0, rule, needs: namesOf(ids), holds }
    },
  }
}

/** Binds on first use, and again when the rule set is another one; in between a check is a few bit operations. */
class PermissionGuard implements Guard {
  readonly requirement: Exclude<Requirement, { kind: 'role' }>
  readonly #current: () => CompiledRuleSet
  #boundTo: CompiledRuleSet | undefined
  #permissionIds: readonly number[] = []

  constructor(requirement: Exclude<Requirement, { kind: 'role' }>, current: () => CompiledRuleSet) {
    this.requirement = requirement
    this.#current = current
  }

  allows(access: MemberAccess): boolean {
    const current = this.#current()
    if (this.#boundTo !== current) {
      this.#permissionIds = current.permissionIdsOf(this.requirement)
      this.#boundTo = current
    }
    return holdsAny(access, this.#permissionIds)
  }
}

function holdsAny(access: MemberAccess, permissionIds: readonly number[]): boolean {
  // By index: an iterator would be an allocation on the warm path.
  for (let index = 0; index < permissionIds.length; index += 1) {
    if (access.hasPermissionId(permissionIds[index] as number)) return true
  }
  return false
}
