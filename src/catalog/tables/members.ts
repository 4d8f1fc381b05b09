import { integer, jsonb, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { bytes, createdAt, moment, updatedAt } from './columns.js'
import { permissions, roles } from './access.js'
import { tenants } from './tenants.js'
import { users } from './users.js'

/** Profiles of members inside of their tenants. */
export const memberProfiles = pgTable(
  'member_profiles',
  {
    userId: uuid('user_id').notNull(),
    tenantId: uuid('tenant_id').notNull(),
    position: text('position'),
    department: text('department'),
    attributes: jsonb('attributes').$type<Readonly<Record<string, unknown>>>().notNull().default({}),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.tenantId] })],
)

/** Open offers of ownership, at most one a tenant. */
export const ownershipOffers = pgTable('ownership_offers', {
  tenantId: uuid('tenant_id')
    .primaryKey()
    .references(() => tenants.id, { onDelete: 'cascade' }),
  fromUserId: uuid('from_user_id').notNull(),
  toUserId: uuid('to_user_id').notNull(),
  keptRoleId: uuid('kept_role_id')
    .notNull()
    .references(() => roles.id, { onDelete: 'cascade' }),
  createdAt: createdAt(),
  expiresAt: moment('expires_at').notNull(),
})

/** Invitations of e-mail addresses into tenants. */
export const invitations = pgTable('invitations', {
  id: uuid('id').primaryKey(),
  tenantId: uuid('tenant_id')
    .notNull()
    .references(() => tenants.id, { onDelete: 'cascade' }),
  email: text('email').notNull(),
  roleIds: uuid('role_ids').array().notNull(),
  tokenHash: bytes('token_hash').notNull().unique(),
  invitedBy: uuid('invited_by').references(() => users.id, { onDelete: 'cascade' }),
  state: text('state', { enum: ['open', 'accepted', 'withdrawn'] })
    .notNull()
    .default('open'),
  sends: integer('sends').notNull().default(1),
  sentAt: moment('sent_at').notNull().defaultNow(),
  expiresAt: moment('expires_at').notNull(),
  acceptedBy: uuid('accepted_by').references(() => users.id, { onDelete: 'set null' }),
  endedAt: moment('ended_at'),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
  permissionId: integer('permission_id').references(() => permissions.id, { onDelete: 'set null' }),
  refusedAt: moment('refused_at'),
})
