export { defineAccess, parseAccessDefinition } from './access/index.js'
export type { AccessDefinitionInput, PermissionName, PermissionOf, RoleInput, RouteKey } from './access/index.js'
export type { AccessExplanation, AccessReason, ExplainInput } from './catalog/access-explain.js'
export type {
  MemberRoleInput,
  Override,
  OverrideInput,
  OverrideKeyInput,
  OverrideListInput,
} from './catalog/access-members.js'
export type {
  CategoryKeyInput,
  CategoryUpdateInput,
  NewCategoryInput,
  NewPermissionInput,
  Permission,
  PermissionActiveInput,
  PermissionCategory,
  PermissionUpdateInput,
} from './catalog/access-permissions.js'
export type { PermissionProvenance, RoleChain } from './catalog/access-provenance.js'
export type {
  NewRoleInput,
  Role,
  RoleActiveInput,
  RoleGrantInput,
  RoleInclusionInput,
  RoleKeyInput,
  RoleListInput,
  RoleUpdateInput,
} from './catalog/access-roles.js'
export type { RouteRule, RouteRuleActiveInput, RouteRuleInput } from './catalog/access-routes.js'
export type { AccessAdministration } from './catalog/access.js'
export type { AuditProblem, AuditVerification } from './catalog/audit-verification.js'
export type { AuditEntry, AuditLog, ListAuditOptions, VerifyAuditOptions } from './catalog/audit.js'
export type { ListMembersOptions, MemberEntry, MembershipEntry } from './catalog/membership-lists.js'
export type { AddMemberOptions } from './catalog/memberships.js'
export type { NewTenant } from './catalog/tenant-input.js'
export type { ActorOption, ListTenantsOptions } from './catalog/tenants.js'
export type { IdentityKey, LinkIdentityInput, UnlinkIdentityInput, UserIdentities } from './catalog/user-identities.js'
export type { NewUser } from './catalog/users.js'
export type { AccessManagement } from './composition/access-management.js'
export type { HealthCheck, HealthStatus, TenancyHealth } from './composition/health.js'
export { renderMetrics, type RenderMetricsOptions } from './composition/metrics.js'
export type { SharedCacheStats } from './cache/redis.js'
export type { ActivityOptions, BackendActivity } from './composition/activity.js'
export type { SessionEndedEvent } from './databases/watch/watch-events.js'
export type { TenancyStats, TenantStats } from './composition/stats.js'
export type {
  ConnectionErrorEvent,
  ConnectionEvent,
  ConnectionEvictEvent,
  ConnectionOpenEvent,
  ConnectionRejectEvent,
} from './connections/connection-events.js'
export type { SchedulerStats } from './connections/scheduler.js'
export type {
  AccessDefinition,
  Member,
  MemberAccess,
  Register,
  RegisteredPermission,
  RegisteredRole,
} from './core/access.js'
export { bindContext } from './core/bind-context.js'
export { type Config, loadConfig, readEnvironment } from './core/config.js'
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
export { errorTable, findTenancyError, isTenancyError, TenancyError, type TenancyErrorCode } from './core/errors.js'
export type { UserIdentity } from './core/identity.js'
export type { ClaimPath, ClaimValue, IssuerOptions, IssuerTrust, SignatureAlgorithm } from './core/issuer.js'
export type { Logger } from './core/logger.js'
export type { PgModule } from './core/pg-module.js'
export type { Membership, Tenant, TenantDatabase, TenantStatus, User, UserTenant } from './core/model.js'
export type { IssuedToken, RotationOptions } from './core/signing-keys.js'
export { parseSlug } from './core/slug.js'
export type { TenantPool } from './core/tenant-pool.js'
export type { Reconciliation } from './databases/reconcile.js'
export { type CreateTenancyOptions, createTenancy } from './tenancy.js'
export type { Tenancy } from './tenancy-interface.js'
