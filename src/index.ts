export { defineAccess, managementAccess, parseAccessDefinition } from './access/index.js'
export type { AccessDefinitionInput, PermissionName, PermissionOf, RoleInput, RouteKey } from './access/index.js'
export type {
  AccessExplanation,
  AccessReason,
  ExplainInput,
  ExplainPermissionInput,
  ExplainRouteInput,
} from './catalog/access/explain.js'
export type { AccessEntryInput, DefinedEntries } from './catalog/access/seed/defined-entries.js'
export type { EffectivePermissions, EffectivePermissionsInput } from './catalog/access/effective-permissions.js'
export type {
  MemberRoleInput,
  MemberRolesInput,
  Override,
  OverrideInput,
  OverrideKeyInput,
  OverrideListInput,
} from './catalog/access/member-access.js'
export type {
  CategoryKeyInput,
  CategoryUpdateInput,
  NewCategoryInput,
  NewPermissionInput,
  Permission,
  PermissionActiveInput,
  PermissionCategory,
  PermissionListInput,
  PermissionUpdateInput,
} from './catalog/access/permissions.js'
export type { PermissionProvenance, RoleChain } from './catalog/access/provenance.js'
export type {
  NewRoleInput,
  RoleActiveInput,
  RoleGrantInput,
  RoleInclusionInput,
  RoleKeyInput,
  RoleListInput,
  RoleReadInput,
  RoleUpdateInput,
} from './catalog/access/roles/role-inputs.js'
export type { Role } from './catalog/access/roles/role-row.js'
export type {
  RouteRule,
  RouteRuleActiveInput,
  RouteRuleInput,
  RouteRuleListInput,
} from './catalog/access/route-rules.js'
export type { AccessAdministration } from './catalog/access/administration.js'
export type { AuditProblem, AuditVerification } from './catalog/audit/verification.js'
export type {
  AuditEntry,
  AuditLog,
  ExportAuditOptions,
  ListAuditOptions,
  RecordedEntry,
  VerifyAuditOptions,
} from './catalog/audit/audit-log.js'
export type { ApplicationLocks, WithLockInput } from './catalog/application-locks.js'
export type { TenancyEvent, TenancyEventType } from './catalog/events/event.js'
export type { EventHandler, Events, EventSubscription, OnEventInput } from './catalog/events/event-subscriptions.js'
export type { RecordAuditInput } from './catalog/audit/own-entries.js'
export type { ActorOption } from './core/audit-actor.js'
export type { OtherSessionsInput, SessionEndInput, SessionListInput, UserSession } from './catalog/users/sessions.js'
export type { MemberEntry, MemberListInput, MembershipEntry } from './catalog/members/membership-lists.js'
export type { FoundMember, MemberPage, MemberSearchInput } from './catalog/members/member-search.js'
export type { MemberAttributes, MemberDetails, MemberProfile } from './catalog/members/member-details.js'
export type { MemberKeyInput, MemberUpdateInput } from './catalog/members/member-profiles.js'
export type {
  AddMemberInput,
  LeaveTenantInput,
  MemberActiveInput,
  MemberChangeInput,
} from './catalog/members/memberships.js'
export type {
  OfferOwnershipInput,
  OwnershipAnswerInput,
  OwnershipOffer,
  WithdrawOwnershipInput,
} from './catalog/members/ownership.js'
export type {
  OwnInvitation,
  OwnInvitationInput,
  OwnInvitationListInput,
} from './catalog/invitations/own-invitations.js'
export type { Invitation } from './catalog/invitations/invitation-row.js'
export type { InvitationPreview, SentInvitation } from './catalog/invitations/invitations.js'
export type {
  AcceptInvitationInput,
  InvitationChangeInput,
  InvitationListInput,
  InvitationResendInput,
  InvitationTokenInput,
  NewInvitationInput,
} from './catalog/invitations/invitation-input.js'
export type { TenantRenameInput, TenantUpdateInput } from './catalog/tenants/tenant-changes.js'
export type { SlugReleaseInput } from './catalog/tenants/slug-aliases.js'
export type { SearchTenantsOptions, SlugAvailability, SlugInput, TenantPage } from './catalog/tenants/tenant-search.js'
export type { TenantLabelsInput } from './catalog/tenants/tenant-labels.js'
export type { NewTenantInput, TenantChangeInput } from './catalog/tenants/tenant-input.js'
export type { InstallationSummary } from './catalog/summary.js'
export type { ListTenantsOptions } from './catalog/tenants/tenants.js'
export type {
  IdentityKey,
  LinkIdentityInput,
  UnlinkIdentityInput,
  UserIdentities,
} from './catalog/users/user-identities.js'
export type {
  ListPlatformAdministratorsOptions,
  PlatformAdministration,
  PlatformAdministrator,
  PlatformRoleInput,
} from './catalog/users/platform-administrators.js'
export type { ApiKeys, IssuedApiKey } from './catalog/api-keys/api-keys.js'
export type {
  ApiKeyInput,
  ApiKeyListInput,
  ApiKeyRotationInput,
  ApiKeyUpdateInput,
  NewApiKeyInput,
  NewServiceAccountInput,
  ServiceAccountInput,
  ServiceAccountListInput,
  ServiceAccountUpdateInput,
} from './catalog/api-keys/key-input.js'
export type { ApiKey, ServiceAccount } from './catalog/api-keys/key-row.js'
export type { ServiceAccounts } from './catalog/api-keys/service-accounts.js'
export type {
  DomainChangeInput,
  DomainListInput,
  EmailDomainUpdateInput,
  HostInput,
  JoiningUserInput,
  JoinTenantInput,
  NewDomainInput,
  NewEmailDomainInput,
} from './catalog/domains/domain-input.js'
export type { DomainOptions } from './catalog/domains/domain-options.js'
export type { CustomDomain, EmailDomain } from './catalog/domains/domain-row.js'
export type { Domains } from './catalog/domains/domains.js'
export type { EmailDomains, JoinableTenant } from './catalog/domains/email-domains.js'
export type { ResolveTxt } from './catalog/domains/txt-resolver.js'
export type {
  EndImpersonationInput,
  Impersonation,
  ListImpersonationsInput,
  StartImpersonationInput,
} from './catalog/impersonations/impersonations.js'
export type { Impersonations, StartedImpersonation } from './composition/impersonations.js'
export type { ListUsersOptions } from './catalog/users/user-list.js'
export type { UserUpdateInput } from './catalog/users/user-profile.js'
export type { UserChangeInput } from './catalog/users/user-change.js'
export type { NewUserInput } from './catalog/users/users.js'
export type { TenantUsage } from './composition/observing/tenant-usage.js'
export type { AccessManagement } from './composition/access-management.js'
export type { TenancyHealth } from './composition/observing/health.js'
export type { HealthCheck, HealthStatus } from './composition/observing/health-probe.js'
export { renderMetrics, type RenderMetricsOptions } from './composition/observing/metrics.js'
export type { SharedCacheStats } from './cache/redis/redis.js'
export type { ActivityOptions, BackendActivity } from './composition/observing/activity.js'
export type { SessionEndedEvent } from './databases/watch/watch-events.js'
export { secret } from './catalog/settings/settings-schema.js'
export type { TenancyStats, TenantStats } from './composition/observing/stats.js'
export type {
  ConnectionErrorEvent,
  ConnectionEvent,
  ConnectionEvictionEvent,
  ConnectionOpenEvent,
  ConnectionRejectEvent,
} from './connections/connection-events.js'
export type { SchedulerStats } from './connections/stats.js'
export type {
  AccessDefinition,
  Member,
  MemberAccess,
  Register,
  RegisteredPermission,
  RegisteredRole,
  RoleName,
} from './core/access/access.js'
export type { CurrentImpersonation } from './core/identity/impersonation.js'
export type { CallingServiceAccount } from './core/identity/service-account.js'
export type {
  ShownTenantSettings,
  TenantSettings,
  TenantSettingsChanges,
  TenantSettingsInput,
  TenantSettingsStore,
  TenantSettingsValues,
  UpdateTenantSettingsInput,
} from './core/tenants/tenant-settings.js'
export { bindContext } from './core/context/bind-context.js'
export type { Config } from './core/config/config.js'
export { loadConfig, readEnvironment } from './core/config/load-config.js'
export {
  type Actor,
  getCurrentActor,
  getCurrentMember,
  getCurrentTenant,
  getCurrentUser,
  getTenantPool,
  tryGetCurrentActor,
  tryGetCurrentMember,
  tryGetCurrentTenant,
  tryGetCurrentUser,
  tryGetTenantPool,
} from './core/context/current.js'
export {
  errorTable,
  type FieldError,
  findTenancyError,
  isTenancyError,
  TenancyError,
  type TenancyErrorCode,
  type TenancyErrorDetails,
} from './core/errors/errors.js'
export type {
  Fleet,
  FleetFailure,
  FleetMigrateOptions,
  FleetReport,
  FleetResult,
  FleetStatus,
  FleetStatusOptions,
} from './core/fleet/fleet.js'
export type {
  FleetExecOptions,
  FleetExecReport,
  FleetExecResult,
  FleetRow,
  FleetStatement,
} from './core/fleet/fleet-exec.js'
export type { FleetSeedOptions, FleetSeedReport, FleetSeedResult, Seed, SeedProfile } from './core/fleet/fleet-seed.js'
export type {
  FleetProgress,
  FleetRunOptions,
  FleetSelectionOptions,
  FleetShare,
  FleetStopReason,
  FleetTenantName,
  FleetTenantResult,
  FleetWaveOptions,
} from './core/fleet/run.js'
export type {
  FileEffects,
  FleetEstimate,
  FleetRehearseOptions,
  RecordedRehearsal,
  RehearsalError,
  RehearsalProblem,
  RehearsalReport,
  RehearsedDatabase,
  RehearsedFile,
  RehearsedTenant,
} from './core/fleet/rehearsal.js'
export type { LockMode } from './core/fleet/lock-modes.js'
export type { UserIdentity } from './core/identity/identity.js'
export type { ClaimPath, ClaimValue, IssuerOptions, IssuerTrust, SignatureAlgorithm } from './core/identity/issuer.js'
export type { Logger } from './core/logger.js'
export type { PgModule } from './core/tenants/pg-module.js'
export type { Membership, Tenant, TenantDatabase, TenantStatus, User, UserTenant } from './core/model.js'
export type {
  FleetCheckOptions,
  FleetCheckOutcome,
  FleetCheckReport,
  FleetCheckResult,
  StructureDifference,
} from './core/fleet/fleet-check.js'
export type { IgnoredFinding, LintFinding, LintNote, LintReport } from './fleet/lint/findings.js'
export {
  type LintInput,
  lintMigration,
  type LintMigrationOptions,
  lintMigrations,
  type LintMigrationsOptions,
} from './fleet/lint/lint-migrations.js'
export { renderLint } from './fleet/lint/render-lint.js'
export type { RuleName } from './fleet/lint/rules.js'
export { renderRehearsal } from './fleet/rehearse/render-rehearsal.js'
export type { AdoptDatabaseInput, DatabaseAdoption } from './core/backup/adopt.js'
export type {
  BackupInput,
  BackupMethod,
  BackupProgress,
  BackupReport,
  Backups,
  RestoredTenantInput,
  RestoreInput,
  RestoreReport,
  SwapBackInput,
} from './core/backup/backup.js'
export type { CatalogReader } from './catalog/reading/catalog-reader.js'
export type {
  ByteRange,
  ExportsOptions,
  ExportStorage,
  ListTenantExportsInput,
  StartTenantExportInput,
  TenantExport,
  TenantExportArchive,
  TenantExportInput,
  TenantExports,
  TenantExportState,
} from './core/backup/exports.js'
export type { FleetAcceptOptions, FleetAcceptReport, FleetAcceptResult } from './core/fleet/fleet-accept.js'
export type { FleetRevertOptions, FleetRevertReport, FleetRevertResult } from './core/fleet/fleet-revert.js'
export type {
  MigrationFolder,
  MigrationFolderKind,
  MigrationFunction,
  MigrationTenant,
  SchemaSource,
  TenantMigration,
} from './core/tenants/migration.js'
export { renderDifferences } from './fleet/drift/render-differences.js'
export type { IssuedToken } from './core/identity/signing-keys.js'
export { parseSlug } from './core/tenants/slug.js'
export type { TenantPool } from './core/tenants/tenant-pool.js'
export type { Reconciliation } from './databases/lifecycle/reconcile.js'
export { type CreateTenancyOptions, createTenancy } from './tenancy.js'
export type { IssueAccessTokenInput, RotateSigningKeysInput, RunWithTenantInput, Tenancy } from './tenancy-interface.js'
