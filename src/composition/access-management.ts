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
    assignRole: (input) => followed(access.assignRole(input), () => forgetUser(input.user)),
    unassignRole: (input) => followed(access.unassignRole(input), () => forgetUser(input.user)),
    setOverride: (input) => followed(access.setOverride(input), () => forgetUser(input.user)),
    clearOverride: (input) => followed(access.clearOverride(input), () => forgetUser(input.user)),

    createRole: (input) => followed(access.createRole(input), () => forgetMembers(input.tenant)),
    updateRole: (input) => followed(access.updateRole(input), () => forgetMembers(input.tenant)),
    setRoleActive: (input) => followed(access.setRoleActive(input), () => forgetMembers(input.tenant)),
    deleteRole: (input) => followed(access.deleteRole(input), () => forgetMembers(input.tenant)),
    grantPermission: (input) => followed(access.grantPermission(input), () => forgetMembers(input.tenant)),
    revokePermission: (input) => followed(access.revokePermission(input), () => forgetMembers(input.tenant)),
    includeRole: (input) => followed(access.includeRole(input), () => forgetMembers(input.tenant)),
    excludeRole: (input) => followed(access.excludeRole(input), () => forgetMembers(input.tenant)),

    createPermission: (input) => followed(access.createPermission(input), () => forgetMembers(null)),
    setPermissionActive: (input) => followed(access.setPermissionActive(input), () => forgetMembers(null)),
    createRouteRule: (input) => followed(access.createRouteRule(input), () => forgetMembers(null)),
    setRouteRuleActive: (input) => followed(access.setRouteRuleActive(input), () => forgetMembers(null)),
    deleteRouteRule: (input) => followed(access.deleteRouteRule(input), () => forgetMembers(null)),
  }
}

/** Runs `forget` after the change. It reads the input then, because the change has checked it by then. */
async function followed<Result>(change: Promise<Result>, forget: () => void | Promise<void>): Promise<Result> {
  const result = await change
  await forget()
  return result
}
