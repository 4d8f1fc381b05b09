import type { Columns } from './columns.js'

/** The lifecycle of a tenant. Only an `active` one serves requests. */
export type TenantStatus = 'active' | 'suspended' | 'deleted'

/**
 * The columns of `tenants`. A new one is added here and in a migration; without a flag it goes nowhere. What is public is
 * cached: the context of a request may come from Redis.
 */
export const tenantColumns = {
  id: { name: 'id', kind: 'text', cached: true, public: true },
  slug: { name: 'slug', kind: 'text', cached: true, public: true, writable: true },
  name: { name: 'name', kind: 'text', cached: true, public: true, writable: true },
  status: { name: 'status', kind: ['active', 'suspended', 'deleted'], cached: true, public: true },
  contactEmail: {
    name: 'contact_email',
    kind: 'text',
    nullable: true,
    cached: true,
    public: true,
    writable: true,
  },
  maxUsers: { name: 'max_users', kind: 'integer', nullable: true, cached: true, public: true, writable: true },
  labels: { name: 'labels', kind: 'texts', cached: true, public: true, writable: true },
  databaseId: { name: 'database_id', kind: 'text', nullable: true, cached: true, public: true },
  createdBy: { name: 'created_by', kind: 'text', nullable: true, cached: true, public: true },
  createdAt: { name: 'created_at', kind: 'time', cached: true, public: true },
  updatedAt: { name: 'updated_at', kind: 'time', cached: true, public: true },
  suspendedAt: { name: 'suspended_at', kind: 'time', nullable: true, cached: true, public: true },
  deletedAt: { name: 'deleted_at', kind: 'time', nullable: true, cached: true, public: true },
} as const satisfies Columns

/** A customer organisation. `id` is a UUIDv7. The Drizzle table `tenants` has this row type. */
export interface Tenant {
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly status: TenantStatus
  readonly contactEmail: string | null
  /** The most members the tenant may have; null: no limit. */
  readonly maxUsers: number | null
  /** Sorted. They choose tenants for lists and for work over the fleet. */
  readonly labels: readonly string[]
  /** The tenant database that holds its data (`tenant_databases.id`). */
  readonly databaseId: string | null
  readonly createdBy: string | null
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly suspendedAt: Date | null
  readonly deletedAt: Date | null
}

/**
 * The columns of `users`. A new one is added here and in a migration; without a flag it goes nowhere. Epochs are read as
 * float8, which `pg` gives as a number (exact up to 2^53).
 */
export const userColumns = {
  id: { name: 'id', kind: 'text', public: true },
  email: { name: 'email', kind: 'text', public: true },
  name: { name: 'name', kind: 'text', public: true, writable: true },
  image: { name: 'image', kind: 'text', nullable: true, public: true, writable: true },
  emailVerified: { name: 'email_verified', kind: 'boolean', public: true },
  disabledAt: { name: 'disabled_at', kind: 'time', nullable: true, public: true },
  createdAt: { name: 'created_at', kind: 'time', public: true },
  updatedAt: { name: 'updated_at', kind: 'time', public: true },
  tokenEpoch: { name: 'token_epoch', kind: 'integer' },
  tokensValidAfter: {
    name: 'tokens_valid_after',
    kind: 'integer',
    read: 'coalesce(extract(epoch from $), 0)::float8',
  },
  accessEpoch: { name: 'access_epoch', kind: 'integer', read: '$::float8' },
} as const satisfies Columns

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

/** The columns of `user_tenants`. A new one is added here and in a migration; without a flag it goes nowhere. */
export const membershipColumns = {
  userId: { name: 'user_id', kind: 'text', cached: true, public: true },
  tenantId: { name: 'tenant_id', kind: 'text', cached: true, public: true },
  isActive: { name: 'is_active', kind: 'boolean', cached: true, public: true },
  isDefault: { name: 'is_default', kind: 'boolean', cached: true, public: true },
  createdAt: { name: 'created_at', kind: 'time', cached: true, public: true },
  updatedAt: { name: 'updated_at', kind: 'time', cached: true, public: true },
} as const satisfies Columns

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

/** The lifecycle of a tenant database: built, assigned, retired, dropped. */
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
