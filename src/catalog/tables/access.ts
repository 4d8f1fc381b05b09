import { boolean, integer, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { createdAt, moment, updatedAt } from './columns.js'
import { tenants } from './tenants.js'

/** Groups of permissions, for display. */
export const permissionCategories = pgTable('permission_categories', {
  name: text('name').primaryKey(),
  description: text('description').notNull().default(''),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** Permissions that a member can hold: `resource:action`. */
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

/** Permissions that routes require. */
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

/** The permissions of a role. */
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

/** Roles that a role includes. Its members hold their permissions, too. */
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

/** Applied entries of the access definition, with the state of those that left it. */
export const accessSeedEntries = pgTable('access_seed_entries', {
  entry: text('entry').primaryKey(),
  appliedAt: moment('applied_at').notNull().defaultNow(),
  state: text('state', { enum: ['applied', 'retired', 'left'] })
    .notNull()
    .default('applied'),
})
