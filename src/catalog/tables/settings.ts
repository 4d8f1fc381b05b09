import { integer, jsonb, pgTable, uuid } from 'drizzle-orm/pg-core'
import { updatedAt } from './columns.js'
import { tenants } from './tenants.js'

/** Settings of tenants, by the application's schema. */
export const tenantSettings = pgTable('tenant_settings', {
  tenantId: uuid('tenant_id')
    .primaryKey()
    .references(() => tenants.id, { onDelete: 'cascade' }),
  version: integer('version').notNull().default(1),
  plain: jsonb('plain').notNull().default({}),
  sealed: jsonb('sealed').notNull().default({}),
  updatedAt: updatedAt(),
})
