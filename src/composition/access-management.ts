import { snapshotOf } from '../catalog/input.js'
import type { AccessExplainer } from '../catalog/access/explain.js'
import type { AccessAdministration } from '../catalog/access/administration.js'

/** Changes, lists and explains access. */
export interface AccessManagement extends AccessAdministration, AccessExplainer {}

/** Functions that invalidate this process's cache. */
export interface AccessForgetting {
  readonly forgetUser: (id: string) => void
  /** Invalidates all members of a tenant, by its id or slug; null: all users. */
  readonly forgetMembers: (tenant: string | null) => Promise<void>
}

/**
 * Combines catalog services that invalidate this process's cache after each change. Changes that affect no access
 * invalidate nothing.
 */
export function createAccessManagement(
  access: AccessAdministration & AccessExplainer,
  { forgetUser, forgetMembers }: AccessForgetting,
): AccessManagement {
  const ofMember = following<{ readonly user: string }>(({ user }) => forgetUser(user))
  const ofTenant = following<{ readonly tenant: string | null }>(({ tenant }) => forgetMembers(tenant))
  const ofInstallation = following<unknown>(() => forgetMembers(null))

  return {
    ...access,
    assignRole: ofMember((given) => access.assignRole(given)),
    unassignRole: ofMember((given) => access.unassignRole(given)),
    setOverride: ofMember((given) => access.setOverride(given)),
    clearOverride: ofMember((given) => access.clearOverride(given)),

    createRole: ofTenant((given) => access.createRole(given)),
    updateRole: ofTenant((given) => access.updateRole(given)),
    setRoleActive: ofTenant((given) => access.setRoleActive(given)),
    deleteRole: ofTenant((given) => access.deleteRole(given)),
    grantPermission: ofTenant((given) => access.grantPermission(given)),
    revokePermission: ofTenant((given) => access.revokePermission(given)),
    includeRole: ofTenant((given) => access.includeRole(given)),
    excludeRole: ofTenant((given) => access.excludeRole(given)),

    createPermission: ofInstallation((given) => access.createPermission(given)),
    setPermissionActive: ofInstallation((given) => access.setPermissionActive(given)),
    createRouteRule: ofInstallation((given) => access.createRouteRule(given)),
    setRouteRuleActive: ofInstallation((given) => access.setRouteRuleActive(given)),
    deleteRouteRule: ofInstallation((given) => access.deleteRouteRule(given)),
  }
}

/** Makes functions of changes, which see the same copy of the input as the invalidation after them. */
function following<Needed>(forget: (given: Needed) => void | Promise<void>) {
  return <Input extends Needed, Result>(change: (given: Input) => Promise<Result>) =>
    async (input: Input): Promise<Result> => {
      const given = snapshotOf(input)
      const result = await change(given)
      await forget(given)
      return result
    }
}
