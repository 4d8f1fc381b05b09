import type { AccessExplainer } from '../catalog/access/explain.js'
import type { AccessAdministration } from '../catalog/access/administration.js'
import type { AuditLog } from '../catalog/audit/audit-log.js'
import type { InstallationSummary } from '../catalog/summary.js'
import type { Memberships } from '../catalog/members/memberships.js'
import { parse, snapshotOf } from '../catalog/input.js'
import { tenantChangeInput } from '../catalog/tenants/tenant-input.js'
import type { Tenants } from '../catalog/tenants/tenants.js'
import { type IdentityKey, identityKeyInput, type UserIdentities } from '../catalog/users/user-identities.js'
import type { ListUsersOptions } from '../catalog/users/user-list.js'
import type { PlatformAdministration } from '../catalog/users/platform-administrators.js'
import type { CatalogUsers, NewUserInput, UserChangeInput } from '../catalog/users/users.js'
import { isTenancyError, TenancyError } from '../core/errors/errors.js'
import type { UserRecord } from '../core/identity/identity.js'
import type { Tenant, User } from '../core/model.js'
import { type AccessManagement, createAccessManagement } from './access-management.js'

/**
 * Management of users, for applications. Every change is one transaction with its entry in the installation's audit log.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface UserManagement extends UserIdentities {
  /** Creates a user. @throws TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_USER_EXISTS */
  createUser(input: NewUserInput): Promise<User>
  /** Lists users by e-mail address. */
  listUsers(options?: ListUsersOptions): Promise<User[]>
  /** Finds a user by e-mail address, in any case. Returns undefined if no user has it. */
  findUserByEmail(email: string): Promise<User | undefined>
  /** Finds the user whom tokens of this issuer for this subject authenticate. Returns undefined if there is none yet. */
  findUserByIdentity(identity: IdentityKey): Promise<User | undefined>
  /** Disables the user and ends all their tokens. @throws TENANCY_USER_NOT_FOUND */
  disableUser(input: UserChangeInput): Promise<User>
  /** Enables the user again; they need new tokens. @throws TENANCY_USER_NOT_FOUND */
  enableUser(input: UserChangeInput): Promise<User>
  /** Ends every token issued until now. @throws TENANCY_USER_NOT_FOUND */
  revokeUserTokens(input: UserChangeInput): Promise<User>
}

/** All functions by which an application changes the catalog. */
export interface Management extends Tenants, Memberships, UserManagement, PlatformAdministration {
  /** Roles, permissions, rules and overrides, and explanations of decisions about access. */
  readonly access: AccessManagement
  /** The audit log: every change and its actor. */
  readonly audit: AuditLog
  /** Counts users, tenants by status and tenant databases by state. Makes one query. */
  summary(): Promise<InstallationSummary>
  /** Finds a tenant by id or slug, in any status; undefined where `getTenant` throws TENANCY_TENANT_NOT_FOUND. */
  findTenant(tenant: string): Promise<Tenant | undefined>
}

/** Combines the catalog's services. Each change invalidates this process's cache of the changed data. */
export function createManagement({
  tenants,
  memberships,
  access,
  audit,
  users,
  platform,
  summary,
  forget,
  disconnect,
}: {
  readonly tenants: Tenants
  readonly memberships: Memberships
  readonly access: AccessAdministration & AccessExplainer
  readonly audit: AuditLog
  readonly users: CatalogUsers
  readonly platform: PlatformAdministration
  readonly summary: () => Promise<InstallationSummary>
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

  const userOf = async (input: UserChangeInput, change: (given: UserChangeInput) => Promise<UserRecord>) =>
    (await ofUser(input, change)).user

  return {
    async createTenant(input) {
      const given = snapshotOf(input)
      const tenant = await tenants.createTenant(given)
      // The owner is a member of one more tenant.
      forget(given.owner.toLowerCase())
      return tenant
    },
    getTenant: (tenant) => tenants.getTenant(tenant),
    listTenants: (options) => tenants.listTenants(options),
    updateTenant: (input) => ofTenant(tenants.updateTenant(input)),
    renameTenant: (input) => ofTenant(tenants.renameTenant(input)),
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

    addMember: (input) => ofUser(input, (given) => memberships.addMember(given)),
    removeMember: (input) => ofUser(input, (given) => memberships.removeMember(given)),
    setMemberActive: (input) => ofUser(input, (given) => memberships.setMemberActive(given)),
    setDefaultTenant: (input) => ofUser(input, (given) => memberships.setDefaultTenant(given)),
    listMemberships: (user) => memberships.listMemberships(user),
    listMembers: (input) => memberships.listMembers(input),

    createUser: async (input) => (await users.createUser(input)).user,
    listUsers: (options) => users.listUsers(options),
    findUserByEmail: async (email) => (await users.findUserByEmail(email))?.user,
    async findUserByIdentity(identity) {
      const { issuer, subject } = parse(identityKeyInput, identity)
      return (await users.findUserByIdentity(issuer, subject))?.user
    },
    listIdentities: (user) => users.listIdentities(user),
    linkIdentity: (input) => ofUser(input, (given) => users.linkIdentity(given)),
    unlinkIdentity: (input) => ofUser(input, (given) => users.unlinkIdentity(given)),
    disableUser: (input) => userOf(input, (given) => users.disableUser(given)),
    enableUser: (input) => userOf(input, (given) => users.enableUser(given)),
    revokeUserTokens: (input) => userOf(input, (given) => users.revokeUserTokens(given)),
    async readUser(id) {
      const record = await users.findUserById(id)
      if (!record) throw new TenancyError('TENANCY_USER_NOT_FOUND', `No user ${JSON.stringify(id)}: check the id`)
      return record
    },

    ...platform,
    access: createAccessManagement(access, { forgetUser: (id) => forget(id.toLowerCase()), forgetAll: () => forget() }),
    audit,
  }
}
