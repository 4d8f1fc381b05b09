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
    assignRole: (input) =>
      following(
        input,
        (given) => access.assignRole(given),
        ({ user }) => forgetUser(user),
      ),
    unassignRole: (input) =>
      following(
        input,
        (given) => access.unassignRole(given),
        ({ user }) => forgetUser(user),
      ),
    setOverride: (input) =>
      following(
        input,
        (given) => access.setOverride(given),
        ({ user }) => forgetUser(user),
      ),
    clearOverride: (input) =>
      following(
        input,
        (given) => access.clearOverride(given),
        ({ user }) => forgetUser(user),
      ),

    createRole: (input) =>
      following(
        input,
        (given) => access.createRole(given),
        ({ tenant }) => forgetMembers(tenant),
      ),
    updateRole: (input) =>
      following(
        input,
        (given) => access.updateRole(given),
        ({ tenant }) => forgetMembers(tenant),
      ),
    setRoleActive: (input) =>
      following(
        input,
        (given) => access.setRoleActive(given),
        ({ tenant }) => forgetMembers(tenant),
      ),
    deleteRole: (input) =>
      following(
        input,
        (given) => access.deleteRole(given),
        ({ tenant }) => forgetMembers(tenant),
      ),
    grantPermission: (input) =>
      following(
        input,
        (given) => access.grantPermission(given),
        ({ tenant }) => forgetMembers(tenant),
      ),
    revokePermission: (input) =>
      following(
        input,
        (given) => access.revokePermission(given),
        ({ tenant }) => forgetMembers(tenant),
      ),
    includeRole: (input) =>
      following(
        input,
        (given) => access.includeRole(given),
        ({ tenant }) => forgetMembers(tenant),
      ),
    excludeRole: (input) =>
      following(
        input,
        (given) => access.excludeRole(given),
        ({ tenant }) => forgetMembers(tenant),
      ),

    createPermission: (input) =>
      following(
        input,
        (given) => access.createPermission(given),
        () => forgetMembers(null),
      ),
    setPermissionActive: (input) =>
      following(
        input,
        (given) => access.setPermissionActive(given),
        () => forgetMembers(null),
      ),
    createRouteRule: (input) =>
      following(
        input,
        (given) => access.createRouteRule(given),
        () => forgetMembers(null),
      ),
    setRouteRuleActive: (input) =>
      following(
        input,
        (given) => access.setRouteRuleActive(given),
        () => forgetMembers(null),
      ),
    deleteRouteRule: (input) =>
      following(
        input,
        (given) => access.deleteRouteRule(given),
        () => forgetMembers(null),
      ),
  }
}

/** Makes a change, then runs `forget` on what the change was given. */
async function following<Input, Result>(
  input: Input,
  change: (given: Input) => Promise<Result>,
  forget: (given: Input) => void | Promise<void>,
): Promise<Result> {
  const given = snapshotOf(input)
  const result = await change(given)
  await forget(given)
  return result
}
