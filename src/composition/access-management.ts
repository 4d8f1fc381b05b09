import type { AccessExplainer } from '../catalog/access-explain.js'
import type { AccessAdministration } from '../catalog/access.js'

/** Who may do what: changed, listed and explained. */
export interface AccessManagement extends AccessAdministration, AccessExplainer {}

/** What this process has to forget after a change. */
export interface AccessForgetting {
  readonly ofUser: <Result>(id: string, change: Promise<Result>) => Promise<Result>
  /** All members of a tenant, by its id or slug; null: everybody. */
  readonly ofTenant: <Result>(tenant: string | null, change: Promise<Result>) => Promise<Result>
  readonly ofEverybody: <Result>(change: Promise<Result>) => Promise<Result>
}

/** The catalog's services, each followed by what this process has to forget. What decides over nobody's access, by nothing. */
export function createAccessManagement(
  access: AccessAdministration & AccessExplainer,
  { ofUser, ofTenant, ofEverybody }: AccessForgetting,
): AccessManagement {
  return {
    ...access,
    assignRole: (input) => ofUser(input.user, access.assignRole(input)),
    unassignRole: (input) => ofUser(input.user, access.unassignRole(input)),
    setOverride: (input) => ofUser(input.user, access.setOverride(input)),
    clearOverride: (input) => ofUser(input.user, access.clearOverride(input)),

    createRole: (input) => ofTenant(input.tenant, access.createRole(input)),
    updateRole: (input) => ofTenant(input.tenant, access.updateRole(input)),
    setRoleActive: (input) => ofTenant(input.tenant, access.setRoleActive(input)),
    deleteRole: (input) => ofTenant(input.tenant, access.deleteRole(input)),
    grantPermission: (input) => ofTenant(input.tenant, access.grantPermission(input)),
    revokePermission: (input) => ofTenant(input.tenant, access.revokePermission(input)),
    includeRole: (input) => ofTenant(input.tenant, access.includeRole(input)),
    excludeRole: (input) => ofTenant(input.tenant, access.excludeRole(input)),

    createPermission: (input) => ofEverybody(access.createPermission(input)),
    setPermissionActive: (input) => ofEverybody(access.setPermissionActive(input)),
    createRouteRule: (input) => ofEverybody(access.createRouteRule(input)),
    setRouteRuleActive: (input) => ofEverybody(access.setRouteRuleActive(input)),
    deleteRouteRule: (input) => ofEverybody(access.deleteRouteRule(input)),
  }
}
