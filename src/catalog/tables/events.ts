import { bigint, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { createdAt, moment } from './columns.js'

/** Durable subscriptions to events. `holder` is the process that works on one, until `held_until`. */
export const eventSubscriptions = pgTable('event_subscriptions', {
  name: text('name').primaryKey(),
  holder: uuid('holder'),
  heldUntil: moment('held_until'),
  createdAt: createdAt(),
})

/** The entry of each chain of the audit log up to which a subscription has been told. */
export const eventPositions = pgTable(
  'event_positions',
  {
    subscription: text('subscription')
      .notNull()
      .references(() => eventSubscriptions.name, { onDelete: 'cascade' }),
    chainId: uuid('chain_id').notNull(),
    seq: bigint('seq', { mode: 'number' }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.subscription, table.chainId] })],
)
