import type { SqlPool } from '../../core/sql-client.js'
import { createMemberAccess, type MemberAccessAdministration } from './member-access.js'
import { createPermissions, type PermissionAdministration } from './permissions.js'
import { createRoles, type RoleAdministration } from './roles.js'
import { createRoutes, type RouteAdministration } from './route-rules.js'

/**
 * Changes who may do what. `tenant` is an id or a slug (null: the installation), `user` an id, `actor` the id of whoever
 * does it, if not an operator of the installation. Each change is one transaction with its audit entry and its epochs;
 * asking for what is already so writes nothing.
 *
 * Nobody gives what they don't hold: an actor who gives something in a tenant holds it there at that moment. Nobody
 * changes a member or a role that holds what they don't, unless they are an Owner or the member themselves.
 *
 * All throw {@link TenancyError} TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface AccessAdministration
  extends MemberAccessAdministration, RoleAdministration, PermissionAdministration, RouteAdministration {}

/** What {@link createAccessAdministration} needs. */
export interface AccessAdministrationOptions {
  readonly catalog: SqlPool
  /** What is wrong with the path of a route rule, or undefined. */
  readonly problemOfTemplate: (path: string) => string | undefined
}

/** The services that change roles, grants, overrides and rules. */
export function createAccessAdministration({
  catalog,
  problemOfTemplate,
}: AccessAdministrationOptions): AccessAdministration {
  return {
    ...createMemberAccess(catalog),
    ...createRoles(catalog),
    ...createPermissions(catalog),
    ...createRoutes(catalog, problemOfTemplate),
  }
}
