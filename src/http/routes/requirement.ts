import type { Requirement } from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'

/** The requirement of a route's guard. `own-route` stands for the rule of the matched route's own URL and method. */
export type RouteRequirement = Requirement | { readonly kind: 'own-route' }

/**
 * Reads the arguments of `requirePermission`: a path and method, a permission's name, or nothing.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_DEFINITION_INVALID
 */
export function readRequirement(permissionOrPath?: string, method?: string): RouteRequirement {
  if (permissionOrPath === undefined) return { kind: 'own-route' }
  if (permissionOrPath.startsWith('/')) {
    if (method === undefined || !/^[A-Za-z]+$/.test(method)) {
      throw new TenancyError(
        'TENANCY_ACCESS_DEFINITION_INVALID',
        `requirePermission(${JSON.stringify(permissionOrPath)}) needs a method: requirePermission('/reports', 'GET')`,
      )
    }
    return { kind: 'route', path: permissionOrPath, method: method.toUpperCase() }
  }
  if (method !== undefined || !/^[^\s:/]+:[^\s:/]+$/.test(permissionOrPath)) {
    throw new TenancyError(
      'TENANCY_ACCESS_DEFINITION_INVALID',
      `${JSON.stringify(permissionOrPath)} is neither a path ('/reports', 'GET') nor a permission ('reports:read')`,
    )
  }
  return { kind: 'permission', name: permissionOrPath }
}
