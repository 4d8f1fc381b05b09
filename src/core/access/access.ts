import type { Tenant, UserTenant } from '../model.js'
import type { TenantRef } from '../tenants/slug.js'

/** A guard's demand on a member. */
export type Requirement =
  | { readonly kind: 'permission'; readonly name: string }
  | { readonly kind: 'route'; readonly method: string; readonly path: string }
  | { readonly kind: 'role'; readonly name: string }

/** The grants of a member as the catalog has them: plain data, fit for a shared cache. */
export interface MemberGrants {
  /** Names of the member's active roles, held directly or by inclusion. */
  readonly roles: readonly string[]
  /** Ids of the permissions the member holds: (roles' and direct allows) less direct denies, active ones only. */
  readonly permissionIds: readonly number[]
  /** Moment when the first temporary override begins or ends, milliseconds since 1970: read again by then. null: never. */
  readonly changesAtMs: number | null
}

/** A member, read in one go: tenant, membership, grants, and the epochs they were read at. */
export interface MemberRecord {
  readonly tenant: Tenant
  readonly membership: UserTenant
  readonly grants: MemberGrants
  /** Version of the tenant's database; see `VersionedDatabase`. A change of it raises the tenant's epoch. */
  readonly schemaVersion: number | null
  readonly tenantEpoch: number
  readonly rulesEpoch: number
}

/** The answer to "which tenant, when the request names none?" */
export type DefaultMember =
  | { readonly kind: 'none' }
  | { readonly kind: 'member'; readonly member: MemberRecord }
  /** Several memberships and none marked as default, or the default does not count (TENANT_REQUIRE_NAMED_TENANT). */
  | { readonly kind: 'ambiguous' }

/** The membership that is asked for. */
export interface MemberQuestion {
  readonly userId: string
  readonly tenant: TenantRef
}

/** The epochs that are asked for. */
export interface EpochQuestion {
  readonly userId: string
  /** `default`: the tenant of a request that names none. undefined: the user's epochs alone. */
  readonly tenant: TenantRef | 'default' | undefined
}

/** The epochs that tell whether a cached entry is still current. */
export interface Epochs {
  /** `users.access_epoch`; undefined when there is no such user. */
  readonly user: number | undefined
  /** The id of the tenant that was asked for; undefined when the user is no active member of it, or it does not exist. */
  readonly tenantId: string | undefined
  /** `tenants.access_epoch`; undefined where `tenantId` is. */
  readonly tenant: number | undefined
  /** Number of tenants that the default one could be, if that was asked for. 0 otherwise. */
  readonly candidates: number
  /** `installation.rules_epoch`: permissions, route rules, built-in roles. */
  readonly rules: number
}

/** Finds members in the catalog. A tenant is found in any status, so that its members can be told about it. */
export interface MemberDirectory {
  /**
   * Finds memberships, by one query; the answers are in the order of the questions. undefined: the user is no active member,
   * whether or not the tenant exists.
   */
  findMembers(questions: readonly MemberQuestion[]): Promise<(MemberRecord | undefined)[]>
  findDefaultMember(userId: string): Promise<DefaultMember>
  /** Reads all epochs at one moment, by one query; the answers are in the order of the questions. */
  readEpochs(questions: readonly EpochQuestion[]): Promise<Epochs[]>
}

/** A member's compiled access: permission ids as bits. */
export interface MemberAccess {
  /** Names of the member's active roles, held directly or by inclusion. */
  readonly roles: readonly string[]
  /**
   * Tells whether the member holds the built-in role of this name. A tenant's own role does not count: the tenant chose its
   * name, and only its permissions mean anything.
   */
  hasRole(name: string): boolean
  /** Tells whether the member holds this permission (its catalog id). */
  hasPermissionId(id: number): boolean
  /** Tells whether the member holds any of the permissions `32 * word + n`, `n` being the bits set in `bits`. */
  hasPermissionBits(word: number, bits: number): boolean
}

/** A member and their access, as they were when the request began. */
export interface Member {
  readonly membership: UserTenant
  readonly access: MemberAccess
}

/** A requirement bound to the current rule set; binds itself again when the rule set changes. */
export interface Guard {
  readonly requirement: Requirement
  /** Deny wins, default deny: false for anything that no rule or permission names. */
  allows(access: MemberAccess): boolean
}

/** The rule set of the installation: permissions and route rules, compiled once per rules epoch. */
export interface AccessRules {
  readonly epoch: number
  /** Compiles the grants of a member. */
  compile(grants: MemberGrants): MemberAccess
  /**
   * Binds a requirement; the guard follows later changes of the rule set.
   * @throws TENANCY_ACCESS_DEFINITION_INVALID: a role that the application's definition, if there is one, does not have
   */
  guard(requirement: Requirement): Guard
  /**
   * Tells whether the permission, route or role of the requirement is defined, in the catalog or in the application's
   * definition, active or not. A guard of an undefined one denies everybody.
   */
  knows(requirement: Requirement): boolean
  /** Reads the rule set again from the catalog. */
  refresh(): Promise<void>
  /** Tells whether the member holds the permission of that name. */
  can(access: MemberAccess, permission: string): boolean
  /** Tells whether the member may send `method` to a concrete path such as `/reports/42`, without query. */
  can(access: MemberAccess, method: string, path: string): boolean
  /** Lists the names of the active permissions that the member holds, sorted. */
  permissionsOf(access: MemberAccess): string[]
}

/**
 * The permissions, route rules and built-in roles that an installation starts with, as plain checked data
 * (`defineAccess` and `parseAccessDefinition` make it).
 */
export interface AccessDefinition<Permission extends string = string, Role extends string = string> {
  /** A process whose definition has a lower version than the catalog's changes nothing. */
  readonly version: number
  readonly categories: readonly { readonly name: string; readonly description: string }[]
  readonly permissions: readonly {
    readonly name: Permission
    readonly description: string
    readonly category: string | null
  }[]
  readonly routes: readonly { readonly method: string; readonly path: string; readonly permission: Permission }[]
  readonly roles: readonly {
    readonly name: Role
    readonly description: string
    /** '*': every permission of the definition, also those that later versions of it add. */
    readonly permissions: '*' | readonly Permission[]
    /** Names of roles whose permissions it holds as well. */
    readonly includes: readonly string[]
  }[]
}

/**
 * Declares the access definition of the whole application. From then on a misspelled permission does not compile, in
 * `requirePermission`, `tenancy.can`, the functions that grant one and those of API keys; nor does a misspelled role in
 * `requireRole`. Where a tenant's own role may be named, editors offer the built-in ones. Without it, any text does.
 * `tenantSettings`: the schema of tenants' settings, whose fields `getTenantSettings` returns and `updateTenantSettings` takes.
 *
 * @example
 * declare module 'tenants2fast' {
 *   interface Register {
 *     access: typeof access
 *     tenantSettings: typeof tenantSettings
 *   }
 * }
 */
// oxlint-disable-next-line typescript/no-empty-interface, typescript/no-empty-object-type
export interface Register {}

/** The permissions of the {@link Register}ed access definition; any text without one. */
export type RegisteredPermission = Register extends { readonly access: AccessDefinition<infer Permission> }
  ? Permission
  : string

/** The built-in roles of the {@link Register}ed access definition; any text without one. */
export type RegisteredRole = Register extends { readonly access: AccessDefinition<string, infer Role> } ? Role : string

/** A role that is given: a built-in one of the {@link Register}ed access definition, or one of a tenant's own, by name or id. */
export type RoleName = RegisteredRole | (string & Record<never, never>)

/** The rule set as the catalog has it at one moment; {@link AccessRules} compiles it. */
export interface RuleSet {
  readonly epoch: number
  readonly permissions: readonly { readonly id: number; readonly name: string; readonly isActive: boolean }[]
  readonly routes: readonly {
    readonly method: string
    readonly path: string
    readonly permissionId: number
    readonly isActive: boolean
  }[]
  /** Names of the active built-in roles. */
  readonly roles: readonly string[]
}

/** Reads the rule set, consistent in itself. */
export interface RuleSetReader {
  readRuleSet(): Promise<RuleSet>
}
