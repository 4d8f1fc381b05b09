import { bigint, jsonb, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { bytes, moment, transactionId } from './columns.js'
import { serviceAccounts } from './api-keys.js'
import { users } from './users.js'

/** The audit log. Append-only: each entry is chained to the one before it of its tenant, or of the installation. */
export const auditLog = pgTable('audit_log', {
  id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  at: moment('at').notNull().defaultNow(),
  actorId: uuid('actor_id'),
  tenantId: uuid('tenant_id'),
  action: text('action').notNull(),
  subject: text('subject'),
  before: jsonb('before'),
  after: jsonb('after'),
  seq: bigint('seq', { mode: 'number' }).notNull(),
  hash: bytes('hash').notNull(),
  transactionId: transactionId('transaction_id'),
})

/** Personal parts of entries. They are deleted with their user; the entries keep a salted digest of each. */
export const auditPersonal = pgTable('audit_personal', {
  digest: bytes('digest').primaryKey(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  salt: uuid('salt').notNull(),
  facts: jsonb('facts').notNull(),
})

/** Addresses of clients in entries. They are deleted with whose they are; the entries keep a salted digest of each. */
export const auditAddresses = pgTable('audit_addresses', {
  digest: bytes('digest').primaryKey(),
  userId: uuid('user_id').references(() => users.id, { onDelete: 'cascade' }),
  serviceAccountId: uuid('service_account_id').references(() => serviceAccounts.id, { onDelete: 'cascade' }),
  salt: uuid('salt').notNull(),
  address: text('address').notNull(),
})

/** The head of each chain of the audit log. The chain with an id of zeros is the installation's. */
export const auditChains = pgTable('audit_chains', {
  chainId: uuid('chain_id').primaryKey(),
  length: bigint('length', { mode: 'number' }).notNull().default(0),
  hash: bytes('hash').notNull().default(Buffer.alloc(0)),
})
