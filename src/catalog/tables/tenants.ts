import { boolean, integer, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { accessEpoch, createdAt, moment, updatedAt } from './columns.js'
import { tenantDatabases } from './databases.js'
import { users } from './users.js'

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
  labels: text('labels').array().notNull().default([]),
  databaseId: uuid('database_id')
    .unique()
    .references(() => tenantDatabases.id),
  accessEpoch: accessEpoch(),
  createdBy: uuid('created_by').references(() => users.id, { onDelete: 'set null' }),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
  suspendedAt: moment('suspended_at'),
  deletedAt: moment('deleted_at'),
})

/** Former slugs of renamed tenants. Until one expires, it names its tenant. */
export const tenantSlugAliases = pgTable('tenant_slug_aliases', {
  slug: text('slug').primaryKey(),
  tenantId: uuid('tenant_id')
    .notNull()
    .references(() => tenants.id, { onDelete: 'cascade' }),
  createdAt: createdAt(),
  expiresAt: moment('expires_at').notNull(),
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
