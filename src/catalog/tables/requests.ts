import { bigint, integer, jsonb, pgTable, text } from 'drizzle-orm/pg-core'
import { bytes, createdAt } from './columns.js'

/** Answers to requests with an Idempotency-Key. */
export const idempotentRequests = pgTable('idempotent_requests', {
  key: bytes('key').primaryKey(),
  request: bytes('request').notNull(),
  status: integer('status'),
  body: jsonb('body'),
  createdAt: createdAt(),
})

/** Counts of requests, for limits. */
export const limitedRequests = pgTable('limited_requests', {
  key: text('key').primaryKey(),
  points: integer('points').notNull().default(0),
  expire: bigint('expire', { mode: 'number' }),
})
