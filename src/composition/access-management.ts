import { snapshotOf } from '../catalog/input.js'
import type { AccessExplainer } from '../catalog/access/explain.js'
import type { AccessAdministration } from '../catalog/access/administration.js'

/** Changes, lists and explains access. */
export interface AccessManagement extends AccessAdministration, AccessExplainer {}

/** Functions that invalidate this process's cache. */
export interface AccessForgetting {
  readonly forgetUser: (id: string) => void
  /** Invalidates all users. */
  readonly forgetAll: () => void
}

/**
 * Combines catalog services that invalidate this process's cache after each change. Changes that affect no access
 * invalidate nothing. Changes of roles tell whom they concern themselves (`rolesChanged`): they have found the tenant's id.
 */
export function createAccessManagement(
  access: AccessAdministration & AccessExplainer,
  { forgetUser, forgetAll }: AccessForgetting,
): AccessManagement {
  const ofMember = following<{ readonly user: string }>(({ user }) => forgetUser(user))
  const ofInstallation = following<unknown>(() => forgetAll())

  return {
    ...access,
    assignRole: ofMember((given) => access.assignRole(given)),
    unassignRole: ofMember((given) => access.unassignRole(given)),
    setMemberRoles: ofMember((given) => access.setMemberRoles(given)),
    setOverride: ofMember((given) => access.setOverride(given)),
    clearOverride: ofMember((given) => access.clearOverride(given)),

    createPermission: ofInstallation((given) => access.createPermission(given)),
    setPermissionActive: ofInstallation((given) => access.setPermissionActive(given)),
    createRouteRule: ofInstallation((given) => access.createRouteRule(given)),
    setRouteRuleActive: ofInstallation((given) => access.setRouteRuleActive(given)),
    deleteRouteRule: ofInstallation((given) => access.deleteRouteRule(given)),
  }
}

/** Makes functions of changes, which see the same copy of the input as the invalidation after them. */
function following<Needed>(forget: (given: Needed) => void) {
  return <Input extends Needed, Result>(change: (given: Input) => Promise<Result>) =>
    async (input: Input): Promise<Result> => {
      const given = snapshotOf(input)
      const result = await change(given)
      forget(given)
      return result
    }
}
