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
  return {
    ...access,
    assignRole: following(access.assignRole, ({ user }) => forgetUser(user)),
    unassignRole: following(access.unassignRole, ({ user }) => forgetUser(user)),
    setOverride: following(access.setOverride, ({ user }) => forgetUser(user)),
    clearOverride: following(access.clearOverride, ({ user }) => forgetUser(user)),

    createRole: following(access.createRole, ({ tenant }) => forgetMembers(tenant)),
    updateRole: following(access.updateRole, ({ tenant }) => forgetMembers(tenant)),
    setRoleActive: following(access.setRoleActive, ({ tenant }) => forgetMembers(tenant)),
    deleteRole: following(access.deleteRole, ({ tenant }) => forgetMembers(tenant)),
    grantPermission: following(access.grantPermission, ({ tenant }) => forgetMembers(tenant)),
    revokePermission: following(access.revokePermission, ({ tenant }) => forgetMembers(tenant)),
    includeRole: following(access.includeRole, ({ tenant }) => forgetMembers(tenant)),
    excludeRole: following(access.excludeRole, ({ tenant }) => forgetMembers(tenant)),

    createPermission: following(access.createPermission, () => forgetMembers(null)),
    setPermissionActive: following(access.setPermissionActive, () => forgetMembers(null)),
    createRouteRule: following(access.createRouteRule, () => forgetMembers(null)),
    setRouteRuleActive: following(access.setRouteRuleActive, () => forgetMembers(null)),
    deleteRouteRule: following(access.deleteRouteRule, () => forgetMembers(null)),
  }
}

/** Makes a function that runs `forget` after the change, on what the change was given. */
function following<Input, Result>(
  change: (input: Input) => Promise<Result>,
  forget: (given: Input) => void | Promise<void>,
): (input: Input) => Promise<Result> {
  return async (input) => {
    const given = snapshotOf(input)
    const result = await change(given)
    await forget(given)
    return result
  }
}
