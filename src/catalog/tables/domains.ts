import { pgTable, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { createdAt, moment, updatedAt } from './columns.js'
import { tenants } from './tenants.js'
import { users } from './users.js'

/** Hosts of tenants, and domains of e-mail addresses whose owners may join. */
export const tenantDomains = pgTable(
  'tenant_domains',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id, { onDelete: 'cascade' }),
    purpose: text('purpose', { enum: ['web', 'email'] }).notNull(),
    name: text('name').notNull(),
    challenge: text('challenge').notNull(),
    state: text('state', { enum: ['pending', 'proven', 'failing', 'lapsed'] })
      .notNull()
      .default('pending'),
    roleIds: uuid('role_ids').array().notNull().default([]),
    rolesBy: uuid('roles_by'),
    provenAt: moment('proven_at'),
    checkedAt: moment('checked_at'),
    failingSince: moment('failing_since'),
    nextCheckAt: moment('next_check_at'),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (table) => [unique().on(table.tenantId, table.purpose, table.name)],
)

/** Members whom an administrator has removed. */
export const removedMembers = pgTable(
  'removed_members',
  {
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id, { onDelete: 'cascade' }),
    userId: uuid('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.userId] })],
)
