import { sql } from 'drizzle-orm'
import { bigint, boolean, integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { createdAt, moment, transactionId } from './columns.js'

/** One row: the installation that this catalog belongs to. */
export const installation = pgTable('installation', {
  isSingleton: boolean('is_singleton').primaryKey().default(true),
  id: uuid('id').notNull().defaultRandom(),
  secretCheck: text('secret_check'),
  rulesEpoch: bigint('rules_epoch', { mode: 'number' }).notNull().default(1),
  createdAt: createdAt(),
  accessVersion: integer('access_version').notNull().default(0),
})

/** The announced changes of the last day, for processes that cannot LISTEN. */
export const accessChanges = pgTable('access_changes', {
  id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  transactionId: transactionId('transaction_id')
    .notNull()
    .default(sql`pg_current_xact_id()`),
  change: text('change').notNull(),
  createdAt: moment('created_at')
    .notNull()
    .default(sql`clock_timestamp()`),
  /** False: the server's NOTIFY queue was full, so only this row announces the change. */
  wasNotified: boolean('was_notified').notNull().default(true),
})
