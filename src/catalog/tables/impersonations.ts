import { integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { createdAt, moment } from './columns.js'
import { tenants } from './tenants.js'
import { users } from './users.js'

/** Administrators of the installation who act, or acted, as a member of a tenant. */
export const impersonations = pgTable('impersonations', {
  id: uuid('id').primaryKey(),
  tenantId: uuid('tenant_id')
    .notNull()
    .references(() => tenants.id, { onDelete: 'cascade' }),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  administratorId: uuid('administrator_id').notNull(),
  administratorEpoch: integer('administrator_epoch').notNull(),
  reason: text('reason').notNull(),
  createdAt: createdAt(),
  expiresAt: moment('expires_at').notNull(),
  endedAt: moment('ended_at'),
  endedBy: uuid('ended_by'),
})
