import { defineAccess } from '../define-access.js'

/** Permissions for managing a tenant. In parentheses: their names in the reference application. */
export const tenantPermissions = {
  'tenant:read': { description: 'See the tenant (view_tenant_info)', category: 'Tenant' },
  'tenant:update': { description: 'Change the tenant (edit_tenant_info)', category: 'Tenant' },
  'tenant:delete': { description: 'Delete the tenant', category: 'Tenant' },
  'tenant:export': { description: 'Export the tenant’s data', category: 'Tenant' },
  'settings:read': { description: 'See the tenant’s settings', category: 'Tenant' },
  'settings:update': { description: 'Change the tenant’s settings', category: 'Tenant' },
  'audit:read': { description: 'Read the tenant’s audit log', category: 'Tenant' },
  'members:read': { description: 'List members (list_users)', category: 'Members' },
  'members:create': { description: 'Add members (add_users)', category: 'Members' },
  'members:update': { description: 'Change memberships', category: 'Members' },
  'members:delete': { description: 'Remove members', category: 'Members' },
  'roles:read': { description: 'List roles and what they hold', category: 'Roles' },
  'roles:manage': { description: 'Make roles, grant and assign them (manage_roles)', category: 'Roles' },
  'keys:read': { description: 'List service accounts and API keys', category: 'Keys' },
  'keys:create': { description: 'Make service accounts and API keys', category: 'Keys' },
  'keys:update': { description: 'Change service accounts and API keys, and rotate keys', category: 'Keys' },
  'keys:delete': { description: 'Revoke API keys, and delete service accounts', category: 'Keys' },
  'domains:read': { description: 'List hosts and e-mail domains', category: 'Domains' },
  'domains:create': { description: 'Add hosts and e-mail domains', category: 'Domains' },
  'domains:update': {
    description: 'Prove domains, and choose the roles of those who join by one',
    category: 'Domains',
  },
  'domains:delete': { description: 'Remove hosts and e-mail domains', category: 'Domains' },
} as const

/** Categories of {@link tenantPermissions}. */
export const tenantCategories = {
  Tenant: 'The tenant itself',
  Members: 'Who belongs to the tenant',
  Roles: 'What members may do',
  Keys: 'Programs that use the tenant',
  Domains: 'Hosts of the tenant, and who may join by the address',
} as const

/** The management routes of one tenant. */
export const tenantRoutes = {
  'GET /tenants/{tenant}': 'tenant:read',
  'PATCH /tenants/{tenant}': 'tenant:update',
  'GET /tenants/{tenant}/members': 'members:read',
  'POST /tenants/{tenant}/members': 'members:create',
  'PATCH /tenants/{tenant}/members/{user}': 'members:update',
  'DELETE /tenants/{tenant}/members/{user}': 'members:delete',
  'PUT /tenants/{tenant}/members/{user}/roles/{role}': 'roles:manage',
  'DELETE /tenants/{tenant}/members/{user}/roles/{role}': 'roles:manage',
  'GET /tenants/{tenant}/roles': 'roles:read',
  'POST /tenants/{tenant}/roles': 'roles:manage',
  'PATCH /tenants/{tenant}/roles/{role}': 'roles:manage',
  'DELETE /tenants/{tenant}/roles/{role}': 'roles:manage',
} as const

/** The {@link tenantPermissions} of Member, and those that Admin has in addition. */
export const tenantRoles = {
  Admin: [
    'tenant:update',
    'settings:read',
    'settings:update',
    'audit:read',
    'members:create',
    'members:update',
    'members:delete',
    'roles:read',
    'roles:manage',
    'keys:read',
    'keys:create',
    'keys:update',
    'keys:delete',
    'domains:read',
    'domains:create',
    'domains:update',
    'domains:delete',
  ],
  Member: ['tenant:read', 'members:read'],
} as const

/**
 * What the management API needs of an access definition: its permissions with their categories, and the permissions of the
 * roles Admin and Member. An application spreads them into its own definition.
 *
 * @example
 * defineAccess({
 *   categories: managementAccess.categories,
 *   permissions: { ...managementAccess.permissions, 'invoices:read': 'See invoices' },
 *   roles: {
 *     Member: [...managementAccess.roles.Member, 'invoices:read'],
 *     Admin: { permissions: managementAccess.roles.Admin, includes: ['Member'] },
 *   },
 * })
 */
export const managementAccess = {
  categories: tenantCategories,
  permissions: tenantPermissions,
  roles: tenantRoles,
} as const

/** Profile `prod`: managing a tenant, and nothing of an application. */
export const prodAccess = defineAccess({
  categories: tenantCategories,
  permissions: tenantPermissions,
  routes: tenantRoutes,
  roles: {
    Owner: { description: 'Holds every permission', permissions: '*', includes: ['Admin'] },
    Admin: { description: 'Runs the tenant', permissions: tenantRoles.Admin, includes: ['Member'] },
    Member: { description: 'Belongs to the tenant', permissions: tenantRoles.Member },
  },
})
