import type { AccessExplainer } from '../catalog/access/explain.js'
import type { AccessAdministration } from '../catalog/access/administration.js'
import type { AuditLog } from '../catalog/audit/audit-log.js'
import type { Memberships } from '../catalog/members/memberships.js'
import type { ActorOption, Tenants } from '../catalog/tenants/tenants.js'
import type { IdentityKey, UserIdentities } from '../catalog/users/user-identities.js'
import type { CatalogUsers, NewUser } from '../catalog/users/users.js'
import { isTenancyError, TenancyError } from '../core/errors/errors.js'
import type { UserRecord } from '../core/identity/identity.js'
import type { Tenant, User } from '../core/model.js'
import { type AccessManagement, createAccessManagement } from './access-management.js'

/**
 * Users, as an application manages them. Every change is one transaction with its entry in the installation's audit log.
 * All that change something throw TENANCY_REQUEST_INVALID for an `actor` that is no id of a user.
 */
export interface UserManagement extends UserIdentities {
  /** @throws TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_USER_EXISTS */
  createUser(user: NewUser, options?: ActorOption): Promise<User>
  /** E-mail addresses compare in any case. */
  findUserByEmail(email: string): Promise<User | undefined>
  /** Finds whoever comes with tokens of that issuer for that subject. */
  findUserByIdentity(identity: IdentityKey): Promise<User | undefined>
  /** Refuses the user from now on and ends every token. @throws TENANCY_USER_NOT_FOUND */
  disableUser(id: string, options?: ActorOption): Promise<User>
  /** Lets the user in again, with new tokens. @throws TENANCY_USER_NOT_FOUND */
  enableUser(id: string, options?: ActorOption): Promise<User>
  /** Ends every token issued until now. @throws TENANCY_USER_NOT_FOUND */
  revokeUserTokens(id: string, options?: ActorOption): Promise<User>
}

/** Everything that changes the catalog, from an application's point of view. */
export interface Management extends Tenants, Memberships, UserManagement {
  /** Roles, permissions, rules, overrides; and why somebody may or may not. */
  readonly access: AccessManagement
  /** What was done, by whom. */
  readonly audit: AuditLog
  /** By id or slug; undefined where `getTenant` would throw. */
  findTenant(tenant: string): Promise<Tenant | undefined>
}

/** The services of the catalog, each followed by what this process has to forget. */
export function createManagement({
  tenants,
  memberships,
  access,
  audit,
  users,
  forget,
  disconnect,
}: {
  readonly tenants: Tenants
  readonly memberships: Memberships
  readonly access: AccessAdministration & AccessExplainer
  readonly audit: AuditLog
  readonly users: CatalogUsers
  /** Makes this process ask the catalog again about a user or tenant; without an id: about all. */
  readonly forget: (id?: string) => void
  readonly disconnect: (tenant: Tenant) => void
}): Management & { readUser(id: string): Promise<UserRecord> } {
  async function ofTenant(change: Promise<Tenant>): Promise<Tenant> {
    const tenant = await change
    forget(tenant.id)
    if (tenant.status !== 'active') disconnect(tenant)
    return tenant
  }

  async function ofUser<Result>(id: string, change: Promise<Result>): Promise<Result> {
    const result = await change
    forget(id.toLowerCase())
    return result
  }

  async function forgetMembers(idOrSlug: string | null): Promise<void> {
    // The change is made: when the tenant can't be found just now, everybody is forgotten.
    forget(
      idOrSlug === null
        ? undefined
        : await tenants.getTenant(idOrSlug).then(
            ({ id }) => id,
            () => undefined,
          ),
    )
  }

  async function findTenant(idOrSlug: string): Promise<Tenant | undefined> {
    try {
      return await tenants.getTenant(idOrSlug)
    } catch (error) {
      if (isTenancyError(error, 'TENANCY_TENANT_NOT_FOUND')) return undefined
      throw error
    }
  }

  const userOf = async (id: string, change: Promise<UserRecord>) => (await ofUser(id, change)).user

  return {
    createTenant: (input) => ofUser(input.owner, tenants.createTenant(input)),
    getTenant: (tenant) => tenants.getTenant(tenant),
    listTenants: (options) => tenants.listTenants(options),
    suspendTenant: (tenant, options) => ofTenant(tenants.suspendTenant(tenant, options)),
    reactivateTenant: (tenant, options) => ofTenant(tenants.reactivateTenant(tenant, options)),
    deleteTenant: (tenant, options) => ofTenant(tenants.deleteTenant(tenant, options)),
    undeleteTenant: (tenant, options) => ofTenant(tenants.undeleteTenant(tenant, options)),
    async purgeTenant(tenant, options) {
      const { id } = await tenants.getTenant(tenant)
      await tenants.purgeTenant(id, options)
      forget(id)
    },
    findTenant,

    addMember: (tenant, user, options) => ofUser(user, memberships.addMember(tenant, user, options)),
    removeMember: (tenant, user, options) => ofUser(user, memberships.removeMember(tenant, user, options)),
    setMemberActive: (tenant, user, isActive, options) =>
      ofUser(user, memberships.setMemberActive(tenant, user, isActive, options)),
    setDefaultTenant: (tenant, user, options) => ofUser(user, memberships.setDefaultTenant(tenant, user, options)),
    listMemberships: (user) => memberships.listMemberships(user),
    listMembers: (tenant, options) => memberships.listMembers(tenant, options),

    createUser: async (user, options) => (await users.createUser(user, options)).user,
    findUserByEmail: async (email) => (await users.findUserByEmail(email))?.user,
    findUserByIdentity: async ({ issuer, subject }) => (await users.findUserByIdentity(issuer, subject))?.user,
    listIdentities: (user) => users.listIdentities(user),
    linkIdentity: (input) => ofUser(input.user, users.linkIdentity(input)),
    unlinkIdentity: (input) => ofUser(input.user, users.unlinkIdentity(input)),
    disableUser: (id, options) => userOf(id, users.disableUser(id, options)),
    enableUser: (id, options) => userOf(id, users.enableUser(id, options)),
    revokeUserTokens: (id, options) => userOf(id, users.revokeUserTokens(id, options)),
    async readUser(id) {
      const record = await users.findUserById(id)
      if (!record) throw new TenancyError('TENANCY_USER_NOT_FOUND', `No user ${JSON.stringify(id)}: check the id`)
      return record
    },

    access: createAccessManagement(access, { forgetUser: (id) => forget(id.toLowerCase()), forgetMembers }),
    audit,
  }
}
