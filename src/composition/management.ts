import type { AccessExplainer } from '../catalog/access/explain.js'
import type { AccessAdministration } from '../catalog/access/administration.js'
import type { AuditLog } from '../catalog/audit/audit-log.js'
import type { ApiKeys } from '../catalog/api-keys/api-keys.js'
import type { ServiceAccounts } from '../catalog/api-keys/service-accounts.js'
import type { Domains } from '../catalog/domains/domains.js'
import type { Invitations } from '../catalog/invitations/invitations.js'
import type { OwnInvitations } from '../catalog/invitations/own-invitations.js'
import type { ApplicationLocks } from '../catalog/application-locks.js'
import type { Events } from '../catalog/events/event-subscriptions.js'
import type { InstallationSummary } from '../catalog/summary.js'
import type { Memberships } from '../catalog/members/memberships.js'
import { parse, snapshotOf, userRef } from '../catalog/input.js'
import { tenantChangeInput } from '../catalog/tenants/tenant-input.js'
import type { Tenants } from '../catalog/tenants/tenants.js'
import { type IdentityKey, identityKeyInput, type UserIdentities } from '../catalog/users/user-identities.js'
import type { Sessions } from '../catalog/users/sessions.js'
import type { ListUsersOptions } from '../catalog/users/user-list.js'
import type { PlatformAdministration } from '../catalog/users/platform-administrators.js'
import { type UserChangeInput, userNotFound } from '../catalog/users/user-change.js'
import type { CatalogUsers, NewUserInput } from '../catalog/users/users.js'
import type { UserUpdateInput } from '../catalog/users/user-profile.js'
import { isTenancyError, TenancyError } from '../core/errors/errors.js'
import type { UserRecord } from '../core/identity/identity.js'
import type { Tenant, User } from '../core/model.js'
import type { TenantSettingsStore } from '../core/tenants/tenant-settings.js'
import { type AccessManagement, createAccessManagement } from './access-management.js'
import type { Impersonations } from './impersonations.js'
import { refuseImpersonators } from './refuse-impersonation.js'
import type { TenantUsage } from './observing/tenant-usage.js'

/**
 * Management of users, for applications. Every change is one transaction with its entry in the installation's audit log.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface UserManagement extends UserIdentities {
  /** Creates a user. @throws TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_USER_EXISTS */
  createUser(input: NewUserInput): Promise<User>
  /** Finds a user by id. @throws TENANCY_USER_NOT_FOUND */
  getUser(user: string): Promise<User>
  /** Lists users by e-mail address. */
  listUsers(options?: ListUsersOptions): Promise<User[]>
  /** Finds a user by e-mail address, in any case. Returns undefined if no user has it. */
  findUserByEmail(email: string): Promise<User | undefined>
  /** Finds the user whom tokens of this issuer for this subject authenticate. Returns undefined if there is none yet. */
  findUserByIdentity(identity: IdentityKey): Promise<User | undefined>
  /** Changes name or picture of a user. What is the same already is no change. @throws TENANCY_USER_NOT_FOUND */
  updateUser(input: UserUpdateInput): Promise<User>
  /**
   * Erases a person: the user, memberships, identities, logins, and the personal parts of audit entries. Tokens of the user are
   * refused from then on. The entries themselves stay, with the id as a pseudonym. This cannot be undone.
   * @throws TENANCY_USER_NOT_FOUND, TENANCY_MEMBER_LAST_OWNER (`details.tenants` has the first 20 slugs; deleted tenants that
   *   are kept count)
   */
  deleteUser(input: UserChangeInput): Promise<void>
  /** Disables the user and ends all their tokens. @throws TENANCY_USER_NOT_FOUND */
  disableUser(input: UserChangeInput): Promise<User>
  /** Enables the user again; they need new tokens. @throws TENANCY_USER_NOT_FOUND */
  enableUser(input: UserChangeInput): Promise<User>
  /** Ends every token issued until now. @throws TENANCY_USER_NOT_FOUND */
  revokeUserTokens(input: UserChangeInput): Promise<User>
}

/** All functions by which an application changes the catalog. */
export interface Management
  extends
    Tenants,
    Memberships,
    Invitations,
    OwnInvitations,
    ServiceAccounts,
    ApiKeys,
    Domains,
    UserManagement,
    Sessions,
    PlatformAdministration,
    Events,
    ApplicationLocks,
    Impersonations,
    TenantSettingsStore {
  /** Roles, permissions, rules and overrides, and explanations of decisions about access. */
  readonly access: AccessManagement
  /** The audit log: every change and its actor. */
  readonly audit: AuditLog
  /** Counts users, tenants by status and tenant databases by state. Makes one query. */
  summary(): Promise<InstallationSummary>
  /**
   * Reads how much a tenant uses, by id or slug, in any status: members, bytes of its database, connections.
   * @throws TENANCY_TENANT_NOT_FOUND
   */
  getTenantUsage(tenant: string): Promise<TenantUsage>
  /** Finds a tenant by id or slug, in any status; undefined where `getTenant` throws TENANCY_TENANT_NOT_FOUND. */
  findTenant(tenant: string): Promise<Tenant | undefined>
}

/** Combines the catalog's services. Each change invalidates this process's cache of the changed data. */
export function createManagement({
  tenants,
  memberships,
  invitations,
  apiKeys,
  domains,
  access,
  audit,
  users,
  sessions,
  platform,
  events,
  locks,
  settings,
  impersonations,
  summary,
  readUsage,
  forget,
  disconnect,
}: {
  readonly tenants: Tenants
  readonly memberships: Memberships
  readonly invitations: Invitations & OwnInvitations
  readonly apiKeys: ServiceAccounts & ApiKeys
  readonly domains: Domains
  readonly access: AccessAdministration & AccessExplainer
  readonly audit: AuditLog
  readonly users: CatalogUsers
  readonly sessions: Sessions
  readonly platform: PlatformAdministration
  readonly events: Events
  readonly locks: ApplicationLocks
  readonly settings: TenantSettingsStore
  readonly impersonations: Impersonations
  readonly summary: () => Promise<InstallationSummary>
  /** Reads the usage of a tenant by id; undefined: there is none. */
  readonly readUsage: (tenantId: string) => Promise<TenantUsage | undefined>
  /** Invalidates this process's cache of a user or tenant; without an id: of all. */
  readonly forget: (id?: string) => void
  readonly disconnect: (tenant: Tenant) => void
}): Management & { readonly readUser: (id: string) => Promise<UserRecord> } {
  async function ofTenant(change: Promise<Tenant>): Promise<Tenant> {
    const tenant = await change
    forget(tenant.id)
    if (tenant.status !== 'active') disconnect(tenant)
    return tenant
  }

  async function ofUser<Input extends { readonly user: string }, Result>(
    input: Input,
    change: (given: Input) => Promise<Result>,
  ): Promise<Result> {
    const given = snapshotOf(input)
    const result = await change(given)
    forget(given.user.toLowerCase())
    return result
  }

  async function findTenant(idOrSlug: string): Promise<Tenant | undefined> {
    try {
      return await tenants.getTenant(idOrSlug)
    } catch (error) {
      if (isTenancyError(error, 'TENANCY_TENANT_NOT_FOUND')) return undefined
      throw error
    }
  }

  async function readUser(id: string): Promise<UserRecord> {
    const record = await users.findUserById(id)
    if (!record) throw userNotFound(id)
    return record
  }

  const userOf = async <Input extends UserChangeInput>(input: Input, change: (given: Input) => Promise<UserRecord>) =>
    (await ofUser(input, change)).user

  const management: Management & { readonly readUser: (id: string) => Promise<UserRecord> } = {
    async createTenant(input) {
      const given = snapshotOf(input)
      const tenant = await tenants.createTenant(given)
      // The owner is a member of one more tenant.
      forget(given.owner.toLowerCase())
      return tenant
    },
    getTenant: (tenant) => tenants.getTenant(tenant),
    listTenants: (options) => tenants.listTenants(options),
    searchTenants: (options) => tenants.searchTenants(options),
    isSlugAvailable: (input) => tenants.isSlugAvailable(input),
    updateTenant: (input) => ofTenant(tenants.updateTenant(input)),
    renameTenant: (input) => ofTenant(tenants.renameTenant(input)),
    releaseSlug: (input) => ofTenant(tenants.releaseSlug(input)),
    setTenantLabels: (input) => ofTenant(tenants.setTenantLabels(input)),
    suspendTenant: (input) => ofTenant(tenants.suspendTenant(input)),
    reactivateTenant: (input) => ofTenant(tenants.reactivateTenant(input)),
    deleteTenant: (input) => ofTenant(tenants.deleteTenant(input)),
    undeleteTenant: (input) => ofTenant(tenants.undeleteTenant(input)),
    async purgeTenant(input) {
      const { tenant, actor } = parse(tenantChangeInput, input)
      const { id } = await tenants.getTenant(tenant)
      await tenants.purgeTenant({ tenant: id, actor })
      forget(id)
    },
    findTenant,
    summary,
    async getTenantUsage(idOrSlug) {
      const { id, slug } = await tenants.getTenant(idOrSlug)
      const usage = await readUsage(id)
      if (usage === undefined) throw new TenancyError('TENANCY_TENANT_NOT_FOUND', `The tenant "${slug}" is gone`)
      return usage
    },

    addMember: (input) => ofUser(input, (given) => memberships.addMember(given)),
    removeMember: (input) => ofUser(input, (given) => memberships.removeMember(given)),
    setMemberActive: (input) => ofUser(input, (given) => memberships.setMemberActive(given)),
    setDefaultTenant: (input) => ofUser(input, (given) => memberships.setDefaultTenant(given)),
    listMemberships: (user) => memberships.listMemberships(user),
    listMembers: (input) => memberships.listMembers(input),
    searchMembers: (input) => memberships.searchMembers(input),
    getMember: (input) => memberships.getMember(input),
    updateMember: (input) => memberships.updateMember(input),
    leaveTenant: (input) => ofUser(input, (given) => memberships.leaveTenant(given)),

    offerOwnership: (input) => memberships.offerOwnership(input),
    findOwnershipOffer: (tenant) => memberships.findOwnershipOffer(tenant),
    async acceptOwnership(input) {
      const offer = await memberships.acceptOwnership(input)
      forget(offer.from)
      forget(offer.to)
      return offer
    },
    declineOwnership: (input) => memberships.declineOwnership(input),
    withdrawOwnership: (input) => memberships.withdrawOwnership(input),

    createInvitation: (input) => invitations.createInvitation(input),
    listInvitations: (input) => invitations.listInvitations(input),
    resendInvitation: (input) => invitations.resendInvitation(input),
    withdrawInvitation: (input) => invitations.withdrawInvitation(input),
    findInvitation: (input) => invitations.findInvitation(input),
    acceptInvitation: (input) => ofUser(input, (given) => invitations.acceptInvitation(given)),

    ...apiKeys,
    listOwnInvitations: (input) => invitations.listOwnInvitations(input),
    acceptOwnInvitation: (input) => ofUser(input, (given) => invitations.acceptOwnInvitation(given)),
    declineInvitation: (input) => invitations.declineInvitation(input),
    ...domains,
    joinTenant: (input) => ofUser(input, (given) => domains.joinTenant(given)),

    createUser: async (input) => (await users.createUser(input)).user,
    getUser: async (user) => (await readUser(parse(userRef, user, 'user'))).user,
    listUsers: (options) => users.listUsers(options),
    findUserByEmail: async (email) => (await users.findUserByEmail(email))?.user,
    async findUserByIdentity(identity) {
      const { issuer, subject } = parse(identityKeyInput, identity)
      return (await users.findUserByIdentity(issuer, subject))?.user
    },
    listIdentities: (user) => users.listIdentities(user),
    linkIdentity: (input) => ofUser(input, (given) => users.linkIdentity(given)),
    unlinkIdentity: (input) => ofUser(input, (given) => users.unlinkIdentity(given)),
    updateUser: (input) => userOf(input, (given) => users.updateUser(given)),
    deleteUser: (input) => ofUser(input, (given) => users.deleteUser(given)),
    disableUser: (input) => userOf(input, (given) => users.disableUser(given)),
    enableUser: (input) => userOf(input, (given) => users.enableUser(given)),
    revokeUserTokens: (input) => userOf(input, (given) => users.revokeUserTokens(given)),
    readUser,

    listSessions: (input) => sessions.listSessions(input),
    endSession: (input) => ofUser(input, (given) => sessions.endSession(given)),
    endOtherSessions: (input) => ofUser(input, (given) => sessions.endOtherSessions(given)),

    ...platform,
    withLock: (input, run) => locks.withLock(input, run),
    onEvent: (input, handler) => events.onEvent(input, handler),
    ...settings,
    ...impersonations,
    access: refuseImpersonators(
      createAccessManagement(access, { forgetUser: (id) => forget(id.toLowerCase()), forgetAll: () => forget() }),
    ),
    audit,
  }
  return refuseImpersonators(management)
}
