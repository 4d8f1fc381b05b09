import { jsonb, pgTable, text } from 'drizzle-orm/pg-core'
import { bytes, createdAt, moment } from './columns.js'

/** Keys that sign access tokens of this installation. TENANT_SECRET seals the private half. */
export const signingKeys = pgTable('signing_keys', {
  kid: text('kid').primaryKey(),
  algorithm: text('algorithm', { enum: ['EdDSA', 'ES256'] }).notNull(),
  publicJwk: jsonb('public_jwk').notNull(),
  sealedPrivateKey: bytes('sealed_private_key').notNull(),
  createdAt: createdAt(),
  signsFrom: moment('signs_from').notNull().defaultNow(),
  expiresAt: moment('expires_at'),
})
