import type { SqlPool } from '../../core/sql-client.js'
import { createDefinedEntries, type DefinedEntries } from './seed/defined-entries.js'
import { createMemberAccess, type MemberAccessAdministration } from './member-access.js'
import { createPermissions, type PermissionAdministration } from './permissions.js'
import { createRoles, type RoleAdministration } from './roles/roles.js'
import { createRoutes, type RouteAdministration } from './route-rules.js'

/**
 * Changes who may do what. `tenant` is an id or a slug (null: the installation), `user` an id, `actor` the id of the user
 * who makes the change (none: an operator of the installation). Each change is one transaction that also writes its audit
 * entry and raises its epochs. A call that would change nothing writes nothing.
 *
 * An actor cannot grant what they do not hold in that tenant at that moment, nor for longer than they hold it: who has a
 * permission by a direct allow that ends gives it no further than to that end, and to no role. An actor cannot change a member or a role
 * that holds something the actor does not hold, unless the actor is an Owner or that member.
 *
 * All throw {@link TenancyError} TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface AccessAdministration
  extends
    MemberAccessAdministration,
    RoleAdministration,
    PermissionAdministration,
    RouteAdministration,
    DefinedEntries {}

/** Dependencies of {@link createAccessAdministration}. */
export interface AccessAdministrationOptions {
  readonly catalog: SqlPool
  /** Describes the problem with the path of a route rule; undefined: the path is valid. */
  readonly problemOfTemplate: (path: string) => string | undefined
  /** Is told the tenant whose roles a call may have changed, by id, after the commit; null: the built-in roles. */
  readonly rolesChanged?: (tenantId: string | null) => void
}

/** The services that change roles, grants, overrides and rules. */
export function createAccessAdministration({
  catalog,
  problemOfTemplate,
  rolesChanged,
}: AccessAdministrationOptions): AccessAdministration {
  return {
    ...createMemberAccess(catalog),
    ...createRoles(catalog, rolesChanged),
    ...createPermissions(catalog),
    ...createRoutes(catalog, problemOfTemplate),
    ...createDefinedEntries(catalog),
  }
}
