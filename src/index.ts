export { defineAccess, parseAccessDefinition } from './access/index.js'
export type { AccessDefinitionInput, PermissionName, PermissionOf, RoleInput, RouteKey } from './access/index.js'
export type {
  AccessAdministration,
  MemberRoleInput,
  NewRoleInput,
  OverrideInput,
  OverrideKeyInput,
  PermissionActiveInput,
  Role,
  RoleActiveInput,
  RoleGrantInput,
} from './catalog/access.js'
export type { AddMemberOptions, MembershipEntry } from './catalog/memberships.js'
export {
  accessSeedEntries,
  auditLog,
  databaseServers,
  installation,
  permissionCategories,
  permissions,
  rolePermissions,
  roles,
  routeRules,
  signingKeys,
  tenantDatabases,
  tenants,
  userIdentities,
  users,
  userTenantPermissions,
  userTenantRoles,
  userTenants,
} from './catalog/tables.js'
export type { NewTenant } from './catalog/tenant-input.js'
export type { ActorOption, ListTenantsOptions } from './catalog/tenants.js'
export type { NewUser } from './catalog/users.js'
export { renderMetrics, type RenderMetricsOptions } from './composition/metrics.js'
export type { TenancyStats, TenantStats } from './composition/stats.js'
export type {
  ConnectionErrorEvent,
  ConnectionEvent,
  ConnectionEvictEvent,
  ConnectionOpenEvent,
  ConnectionRejectEvent,
} from './connections/connection-events.js'
export type { SchedulerStats } from './connections/scheduler.js'
export type { AccessDefinition, Member, MemberAccess } from './core/access.js'
export { type Config, loadConfig } from './core/config.js'
export {
  getCurrentMember,
  getCurrentTenant,
  getCurrentUser,
  getTenantPool,
  tryGetCurrentMember,
  tryGetCurrentTenant,
  tryGetCurrentUser,
  tryGetTenantPool,
} from './core/context.js'
export { errorTable, isTenancyError, TenancyError, type TenancyErrorCode } from './core/errors.js'
export type { IssuerOptions, SignatureAlgorithm } from './core/identity.js'
export type { Logger } from './core/logger.js'
export type { Membership, Tenant, TenantDatabase, TenantStatus, User, UserTenant } from './core/model.js'
export type { IssuedToken } from './core/signing-keys.js'
export { parseSlug } from './core/slug.js'
export type { TenantPool } from './core/tenant-pool.js'
export type { Reconciliation } from './databases/reconcile.js'
export { type CreateTenancyOptions, createTenancy } from './tenancy.js'
export type { Tenancy } from './tenancy-interface.js'
