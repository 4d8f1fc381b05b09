import { bigint, integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { bytes, createdAt, moment, updatedAt } from './columns.js'
import { tenants } from './tenants.js'
import { users } from './users.js'

/** Exports of tenants: jobs, and where their archives are. */
export const tenantExports = pgTable('tenant_exports', {
  id: uuid('id').primaryKey(),
  tenantId: uuid('tenant_id')
    .notNull()
    .references(() => tenants.id, { onDelete: 'cascade' }),
  state: text('state', { enum: ['queued', 'running', 'ready', 'failed'] })
    .notNull()
    .default('queued'),
  requestedBy: uuid('requested_by').references(() => users.id, { onDelete: 'set null' }),
  recipients: text('recipients').array().notNull().default([]),
  keepSeconds: integer('keep_seconds').notNull(),
  expiresAt: moment('expires_at').notNull(),
  attempts: integer('attempts').notNull().default(0),
  holder: uuid('holder'),
  heldUntil: moment('held_until'),
  startedAt: moment('started_at'),
  finishedAt: moment('finished_at'),
  takenAt: moment('taken_at'),
  rows: bigint('rows', { mode: 'number' }),
  bytes: bigint('bytes', { mode: 'number' }),
  sha256: bytes('sha256'),
  errorCode: text('error_code'),
  downloadedBy: uuid('downloaded_by'),
  downloadedAt: moment('downloaded_at'),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
})
