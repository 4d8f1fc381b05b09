import { boolean, integer, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { accessEpoch, createdAt, moment, updatedAt } from './columns.js'

/** People and services that send requests. */
export const users = pgTable('users', {
  id: uuid('id').primaryKey().defaultRandom(),
  email: text('email').notNull(),
  name: text('name').notNull().default(''),
  image: text('image'),
  emailVerified: boolean('email_verified').notNull().default(false),
  disabledAt: moment('disabled_at'),
  tokenEpoch: integer('token_epoch').notNull().default(1),
  tokensValidAfter: moment('tokens_valid_after'),
  accessEpoch: accessEpoch(),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})

/** Subjects of token issuers, and the users that they belong to. */
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

/** Identities that were unlinked. Only an explicit link brings one back. */
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

/** Users who may administer the installation. */
export const platformAdministrators = pgTable('platform_administrators', {
  userId: uuid('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  grantedAt: moment('granted_at').notNull().defaultNow(),
  grantedBy: uuid('granted_by').references(() => users.id, { onDelete: 'set null' }),
})
