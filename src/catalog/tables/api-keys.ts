import { boolean, integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { bytes, createdAt, moment, updatedAt } from './columns.js'
import { tenants } from './tenants.js'
import { users } from './users.js'

/** Service accounts of tenants, which own API keys. */
export const serviceAccounts = pgTable('service_accounts', {
  id: uuid('id').primaryKey(),
  tenantId: uuid('tenant_id')
    .notNull()
    .references(() => tenants.id, { onDelete: 'cascade' }),
  name: text('name').notNull(),
  isActive: boolean('is_active').notNull().default(true),
  createdBy: uuid('created_by').references(() => users.id, { onDelete: 'set null' }),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** API keys of service accounts. */
export const apiKeys = pgTable('api_keys', {
  id: uuid('id').primaryKey(),
  tenantId: uuid('tenant_id').notNull(),
  serviceAccountId: uuid('service_account_id').notNull(),
  name: text('name').notNull(),
  prefix: text('prefix').notNull(),
  secretHash: bytes('secret_hash').notNull().unique(),
  previousHash: bytes('previous_hash').unique(),
  previousEndsAt: moment('previous_ends_at'),
  permissionIds: integer('permission_ids').array().notNull(),
  responsibleId: uuid('responsible_id'),
  createdBy: uuid('created_by').references(() => users.id, { onDelete: 'set null' }),
  expiresAt: moment('expires_at'),
  lastUsedAt: moment('last_used_at'),
  revokedAt: moment('revoked_at'),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})
