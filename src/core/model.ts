/** The lifecycle of a tenant. Only an `active` one serves requests. */
export type TenantStatus = 'active' | 'suspended' | 'deleted'

/** A customer organisation. `id` is a UUIDv7. The Drizzle table `tenants` has this row type. */
export interface Tenant {
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly status: TenantStatus
  readonly contactEmail: string | null
  /** The most members the tenant may have; null: no limit. */
  readonly maxUsers: number | null
  /** The tenant database that holds its data (`tenant_databases.id`). */
  readonly databaseId: string | null
  readonly createdBy: string | null
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly suspendedAt: Date | null
  readonly deletedAt: Date | null
}

/** A person or service that calls. `id` is a UUID. Part of the Drizzle table `users`; no credentials in it. */
export interface User {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly image: string | null
  readonly emailVerified: boolean
  readonly disabledAt: Date | null
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** A user's place in a tenant (reference: `UserTenant`). */
export interface UserTenant {
  readonly userId: string
  readonly tenantId: string
  readonly isActive: boolean
  /** The tenant a request is for when it names none. At most one per user. */
  readonly isDefault: boolean
  readonly createdAt: Date
  readonly updatedAt: Date
}
/** The field's word for {@link UserTenant}. */
export type Membership = UserTenant

/** Where a tenant database stands in its life: built, assigned, retired, dropped. */
export type TenantDatabaseState = 'building' | 'ready' | 'assigned' | 'retired' | 'dropping'

/** A database that can hold one tenant's data. `name` and `roleName` are opaque: never made of user text. */
export interface TenantDatabase {
  readonly id: string
  readonly serverId: string
  readonly name: string
  readonly roleName: string
  readonly state: TenantDatabaseState
  /** Goes up when the content is replaced (restore, move); the identity row inside the database repeats it. */
  readonly epoch: number
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly retiredAt: Date | null
}
