import type { Guard, MemberAccess, Requirement } from '../core/access/access.js'
import { TenancyError } from '../core/errors/errors.js'

/** What a guard of a route demands; `own-route` is the matched route's own template and method. */
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

/** The requirement in words, for messages. */
export function describeRequirement(requirement: Requirement): string {
  if (requirement.kind === 'route') return `${requirement.method} ${requirement.path}`
  return `${requirement.kind} ${requirement.name}`
}

/**
 * Lets pass or refuses.
 *
 * @throws {@link TenancyError} TENANCY_AUTH_REQUIRED, TENANCY_TENANT_NONE (no user or tenant in the context),
 * TENANCY_ACCESS_DENIED
 */
export function enforce(guard: Guard, context: { readonly user?: unknown; readonly access: MemberAccess | undefined }) {
  if (context.access !== undefined && guard.allows(context.access)) return
  if (context.user === undefined) throw new TenancyError('TENANCY_AUTH_REQUIRED')
  throw new TenancyError(context.access === undefined ? 'TENANCY_TENANT_NONE' : 'TENANCY_ACCESS_DENIED')
}
