import { defineAccess } from '../define-access.js'
import { tenantCategories, tenantPermissions, tenantRoles, tenantRoutes } from './prod.js'

/** Profile `dev`: {@link prodAccess} plus a small application to try it with. Members write notes and cannot read reports. */
export const devAccess = defineAccess({
  categories: { ...tenantCategories, Demo: 'The quick start’s application' },
  permissions: {
    ...tenantPermissions,
    'reports:read': { description: 'Read reports', category: 'Demo' },
    'reports:create': { description: 'Write reports', category: 'Demo' },
    'notes:read': { description: 'Read notes', category: 'Demo' },
    'notes:create': { description: 'Write notes', category: 'Demo' },
  },
  routes: {
    ...tenantRoutes,
    'GET /reports': 'reports:read',
    'POST /reports': 'reports:create',
    'GET /notes': 'notes:read',
    'POST /notes': 'notes:create',
  },
  roles: {
    Owner: { description: 'Holds every permission', permissions: '*', includes: ['Admin'] },
    Admin: {
      description: 'Runs the tenant',
      permissions: [...tenantRoles.Admin, 'reports:read', 'reports:create'],
      includes: ['Member'],
    },
    Member: {
      description: 'Belongs to the tenant',
      permissions: [...tenantRoles.Member, 'notes:read', 'notes:create'],
    },
  },
})
