import { boolean, integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { bytes, createdAt, moment, updatedAt } from './columns.js'
import { users } from './users.js'

/** Credentials of users: passwords, as argon2id hashes. */
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

/** Sessions of the account library. Always empty: a login is a family of refresh tokens. */
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

/** Unconfirmed registrations: links on their way to mailboxes. */
export const userRegistrations = pgTable('user_registrations', {
  tokenHash: text('token_hash').primaryKey(),
  email: text('email').notNull(),
  name: text('name').notNull().default(''),
  password: text('password'),
  expiresAt: moment('expires_at').notNull(),
  createdAt: createdAt(),
})

/** Logins: one family of refresh tokens each. Only the hash of the newest token is kept. */
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
  inCookie: boolean('in_cookie').notNull().default(false),
  tenantId: uuid('tenant_id'),
  userAgent: text('user_agent'),
  address: text('address'),
})

/** Changes of address that wait for the consent of both mailboxes. */
export const addressChanges = pgTable('address_changes', {
  userId: uuid('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  email: text('email').notNull(),
  newHash: text('new_hash').notNull().unique(),
  oldHash: text('old_hash').notNull().unique(),
  newConfirmedAt: moment('new_confirmed_at'),
  oldConfirmedAt: moment('old_confirmed_at'),
  createdAt: createdAt(),
  expiresAt: moment('expires_at').notNull(),
})

/** Attempts to log in, to register or to have a mail sent, counted per window of time. */
export const accountAttempts = pgTable('account_attempts', {
  key: bytes('key').primaryKey(),
  count: integer('count').notNull(),
  expiresAt: moment('expires_at').notNull(),
})
