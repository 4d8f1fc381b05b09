// The tables of the catalog for Drizzle. The files in migrations/ create them; a test compares both.

export { installation, accessChanges } from './tables/installation.js'
export { users, userIdentities, unlinkedIdentities, platformAdministrators } from './tables/users.js'
export { databaseServers, tenantDatabases, tenantMigrationFailures } from './tables/databases.js'
export { tenants, tenantSlugAliases, userTenants } from './tables/tenants.js'
export { serviceAccounts, apiKeys } from './tables/api-keys.js'
export { impersonations } from './tables/impersonations.js'
export { memberProfiles, ownershipOffers, invitations } from './tables/members.js'
export {
  permissionCategories,
  permissions,
  routeRules,
  roles,
  rolePermissions,
  roleInclusions,
  userTenantRoles,
  userTenantPermissions,
  accessSeedEntries,
} from './tables/access.js'
export { tenantExports } from './tables/exports.js'
export { tenantSettings } from './tables/settings.js'
export { tenantDomains, removedMembers } from './tables/domains.js'
export { signingKeys } from './tables/signing-keys.js'
export {
  userCredentials,
  userSessions,
  userVerifications,
  userRegistrations,
  refreshFamilies,
  addressChanges,
  accountAttempts,
} from './tables/accounts.js'
export { auditLog, auditChains, auditPersonal, auditAddresses } from './tables/audit.js'
export { eventSubscriptions, eventPositions } from './tables/events.js'
export { idempotentRequests, limitedRequests } from './tables/requests.js'
