import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  customType,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'

// The tables of the catalog for Drizzle. The numbered SQL files are what makes them; a test holds the two together.

const moment = (name: string) => timestamp(name, { withTimezone: true })
const createdAt = () => moment('created_at').notNull().defaultNow()
const updatedAt = () => moment('updated_at').notNull().defaultNow()
const bytes = customType<{ data: Buffer }>({ dataType: () => 'bytea' })
const transactionId = customType<{ data: string }>({ dataType: () => 'xid8' })

/** One row: the installation that this catalog belongs to. */
export const installation = pgTable('installation', {
  isSingleton: boolean('is_singleton').primaryKey().default(true),
  id: uuid('id').notNull().defaultRandom(),
  secretCheck: text('secret_check'),
  rulesEpoch: bigint('rules_epoch', { mode: 'number' }).notNull().default(1),
  createdAt: createdAt(),
  accessVersion: integer('access_version').notNull().default(0),
})

/** People and services that call. */
export const users = pgTable('users', {
  id: uuid('id').primaryKey().defaultRandom(),
  email: text('email').notNull(),
  name: text('name').notNull().default(''),
  image: text('image'),
  emailVerified: boolean('email_verified').notNull().default(false),
  disabledAt: moment('disabled_at'),
  tokenEpoch: integer('token_epoch').notNull().default(1),
  tokensValidAfter: moment('tokens_valid_after'),
  accessEpoch: bigint('access_epoch', { mode: 'number' }).notNull().default(1),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** Which foreign subject is which user. */
export const userIdentities = pgTable(
  'user_identities',
  {
    issuer: text('issuer').notNull(),
    subject: text('subject').notNull(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.issuer, table.subject] })],
)

/** Identities that were unlinked, and are not linked again unasked. */
export const unlinkedIdentities = pgTable(
  'unlinked_identities',
  {
    issuer: text('issuer').notNull(),
    subject: text('subject').notNull(),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    unlinkedAt: moment('unlinked_at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.issuer, table.subject] })],
)

/** PostgreSQL servers that hold tenant databases. */
export const databaseServers = pgTable('database_servers', {
  id: uuid('id').primaryKey().defaultRandom(),
  name: text('name').notNull().unique(),
  createdAt: createdAt(),
  leader: text('leader'),
  leaderUntil: moment('leader_until'),
})

/** Databases that hold, held or will hold one tenant's data each. */
export const tenantDatabases = pgTable('tenant_databases', {
  id: uuid('id').primaryKey(),
  serverId: uuid('server_id')
    .notNull()
    .references(() => databaseServers.id),
  name: text('name').notNull(),
  roleName: text('role_name').notNull(),
  state: text('state', { enum: ['building', 'ready', 'assigned', 'retired', 'dropping'] })
    .notNull()
    .default('building'),
  epoch: integer('epoch').notNull().default(1),
  templateVersion: text('template_version').notNull().default(''),
  leaseOwner: text('lease_owner'),
  leaseExpiresAt: moment('lease_expires_at'),
  reservedFor: uuid('reserved_for'),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
  retiredAt: moment('retired_at'),
  dropAfter: moment('drop_after'),
  schemaVersion: bigint('schema_version', { mode: 'number' }),
  schemaFingerprint: text('schema_fingerprint'),
})

/** Customer organisations. */
export const tenants = pgTable('tenants', {
  id: uuid('id').primaryKey(),
  slug: text('slug').notNull().unique(),
  name: text('name').notNull(),
  status: text('status', { enum: ['active', 'suspended', 'deleted'] })
    .notNull()
    .default('active'),
  contactEmail: text('contact_email'),
  maxUsers: integer('max_users'),
  databaseId: uuid('database_id')
    .unique()
    .references(() => tenantDatabases.id),
  accessEpoch: bigint('access_epoch', { mode: 'number' }).notNull().default(1),
  createdBy: uuid('created_by').references(() => users.id, { onDelete: 'set null' }),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
  suspendedAt: moment('suspended_at'),
  deletedAt: moment('deleted_at'),
})

/** Memberships: a user's place in a tenant. */
export const userTenants = pgTable(
  'user_tenants',
  {
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id, { onDelete: 'cascade' }),
    isActive: boolean('is_active').notNull().default(true),
    isDefault: boolean('is_default').notNull().default(false),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.tenantId] })],
)

/** What was done, by whom: append-only, each row chained to the one before it in its tenant (or the installation). */
export const auditLog = pgTable('audit_log', {
  id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  at: moment('at').notNull().defaultNow(),
  actorId: uuid('actor_id'),
  tenantId: uuid('tenant_id'),
  action: text('action').notNull(),
  subject: text('subject'),
  before: jsonb('before'),
  after: jsonb('after'),
  seq: bigint('seq', { mode: 'number' }).notNull(),
  hash: bytes('hash').notNull(),
  transactionId: transactionId('transaction_id'),
})

/** The end of each chain of the audit log, kept aside; all zeros is the installation's. */
export const auditChains = pgTable('audit_chains', {
  chainId: uuid('chain_id').primaryKey(),
  length: bigint('length', { mode: 'number' }).notNull().default(0),
  hash: bytes('hash').notNull().default(Buffer.alloc(0)),
})

/** Groups of permissions, for people who look at them. */
export const permissionCategories = pgTable('permission_categories', {
  name: text('name').primaryKey(),
  description: text('description').notNull().default(''),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** What a member may be allowed to do: `resource:action`. */
export const permissions = pgTable('permissions', {
  id: integer('id').primaryKey().generatedAlwaysAsIdentity(),
  name: text('name').notNull().unique(),
  description: text('description').notNull().default(''),
  category: text('category').references(() => permissionCategories.name, { onUpdate: 'cascade', onDelete: 'set null' }),
  isActive: boolean('is_active').notNull().default(true),
  isSystem: boolean('is_system').notNull().default(false),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** Which permission a route needs. */
export const routeRules = pgTable('route_rules', {
  id: integer('id').primaryKey().generatedAlwaysAsIdentity(),
  method: text('method').notNull(),
  path: text('path').notNull(),
  permissionId: integer('permission_id')
    .notNull()
    .references(() => permissions.id, { onDelete: 'cascade' }),
  isActive: boolean('is_active').notNull().default(true),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** Built-in roles (no tenant) and tenants' own. */
export const roles = pgTable('roles', {
  id: uuid('id').primaryKey().defaultRandom(),
  tenantId: uuid('tenant_id').references(() => tenants.id, { onDelete: 'cascade' }),
  name: text('name').notNull(),
  description: text('description').notNull().default(''),
  isActive: boolean('is_active').notNull().default(true),
  isSystem: boolean('is_system').notNull().default(false),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** What a role allows. */
export const rolePermissions = pgTable(
  'role_permissions',
  {
    roleId: uuid('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'cascade' }),
    permissionId: integer('permission_id')
      .notNull()
      .references(() => permissions.id, { onDelete: 'cascade' }),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.roleId, table.permissionId] })],
)

/** Which role includes which: it gives what the included one gives. */
export const roleInclusions = pgTable(
  'role_inclusions',
  {
    roleId: uuid('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'cascade' }),
    includedRoleId: uuid('included_role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'cascade' }),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.roleId, table.includedRoleId] })],
)

/** A member's roles. */
export const userTenantRoles = pgTable(
  'user_tenant_roles',
  {
    userId: uuid('user_id').notNull(),
    tenantId: uuid('tenant_id').notNull(),
    roleId: uuid('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'cascade' }),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.tenantId, table.roleId] })],
)

/** A member's direct overrides; a deny wins. */
export const userTenantPermissions = pgTable(
  'user_tenant_permissions',
  {
    userId: uuid('user_id').notNull(),
    tenantId: uuid('tenant_id').notNull(),
    permissionId: integer('permission_id')
      .notNull()
      .references(() => permissions.id, { onDelete: 'cascade' }),
    effect: text('effect', { enum: ['allow', 'deny'] }).notNull(),
    expiresAt: moment('expires_at'),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.tenantId, table.permissionId] })],
)

/** Which entries of the access definition were put in, and what became of those that left it. */
export const accessSeedEntries = pgTable('access_seed_entries', {
  entry: text('entry').primaryKey(),
  appliedAt: moment('applied_at').notNull().defaultNow(),
  state: text('state', { enum: ['applied', 'retired', 'left'] })
    .notNull()
    .default('applied'),
})

/** Keys that sign our own access tokens; the private half is sealed with TENANT_SECRET. */
export const signingKeys = pgTable('signing_keys', {
  kid: text('kid').primaryKey(),
  algorithm: text('algorithm', { enum: ['EdDSA', 'ES256'] }).notNull(),
  publicJwk: jsonb('public_jwk').notNull(),
  sealedPrivateKey: bytes('sealed_private_key').notNull(),
  createdAt: createdAt(),
  signsFrom: moment('signs_from').notNull().defaultNow(),
  expiresAt: moment('expires_at'),
})

/** How users prove who they are: passwords, as argon2id hashes. */
export const userCredentials = pgTable('user_credentials', {
  id: uuid('id').primaryKey().defaultRandom(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  providerId: text('provider_id').notNull(),
  accountId: text('account_id').notNull(),
  password: text('password'),
  accessToken: text('access_token'),
  refreshToken: text('refresh_token'),
  idToken: text('id_token'),
  accessTokenExpiresAt: moment('access_token_expires_at'),
  refreshTokenExpiresAt: moment('refresh_token_expires_at'),
  scope: text('scope'),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** Sessions of the account library: none, as long as logins are families of refresh tokens. */
export const userSessions = pgTable('user_sessions', {
  id: uuid('id').primaryKey().defaultRandom(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  token: text('token').notNull().unique(),
  expiresAt: moment('expires_at').notNull(),
  ipAddress: text('ip_address'),
  userAgent: text('user_agent'),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** Links sent by mail, hashed, each good for one use. */
export const userVerifications = pgTable('user_verifications', {
  id: uuid('id').primaryKey().defaultRandom(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  identifier: text('identifier').notNull(),
  value: text('value').notNull(),
  expiresAt: moment('expires_at').notNull(),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** Registrations that nobody has confirmed yet: links on their way to mailboxes. */
export const userRegistrations = pgTable('user_registrations', {
  tokenHash: text('token_hash').primaryKey(),
  email: text('email').notNull(),
  name: text('name').notNull().default(''),
  password: text('password'),
  expiresAt: moment('expires_at').notNull(),
  createdAt: createdAt(),
})

/** Logins: one family of refresh tokens each, of which only the hash of the newest is kept. */
export const refreshFamilies = pgTable('refresh_families', {
  id: uuid('id').primaryKey(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  tokenHash: bytes('token_hash').notNull(),
  previousHash: bytes('previous_hash'),
  createdAt: createdAt(),
  lastUsedAt: moment('last_used_at').notNull().defaultNow(),
  expiresAt: moment('expires_at').notNull(),
})

/** How often somebody tried to log in, register or have a mail sent, in a window of time. */
export const accountAttempts = pgTable('account_attempts', {
  key: bytes('key').primaryKey(),
  count: integer('count').notNull(),
  expiresAt: moment('expires_at').notNull(),
})

/** What was announced of epochs, for processes that can't LISTEN: a day of it. */
export const accessChanges = pgTable('access_changes', {
  id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  transactionId: transactionId('transaction_id')
    .notNull()
    .default(sql`pg_current_xact_id()`),
  change: text('change').notNull(),
  createdAt: moment('created_at')
    .notNull()
    .default(sql`clock_timestamp()`),
  /** False: the server's NOTIFY queue had no room. */
  wasNotified: boolean('was_notified').notNull().default(true),
})
