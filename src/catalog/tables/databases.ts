import { bigint, integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { createdAt, moment, updatedAt } from './columns.js'

/** PostgreSQL servers that hold tenant databases. */
export const databaseServers = pgTable('database_servers', {
  id: uuid('id').primaryKey().defaultRandom(),
  name: text('name').notNull().unique(),
  createdAt: createdAt(),
  leader: text('leader'),
  leaderUntil: moment('leader_until'),
})

/** Databases, each of which holds, held or will hold the data of one tenant. */
export const tenantDatabases = pgTable('tenant_databases', {
  id: uuid('id').primaryKey(),
  serverId: uuid('server_id')
    .notNull()
    .references(() => databaseServers.id),
  name: text('name').notNull(),
  roleName: text('role_name').notNull(),
  state: text('state', { enum: ['building', 'ready', 'assigned', 'retired', 'dropping'] })
    .notNull()
    .default('building'),
  epoch: integer('epoch').notNull().default(1),
  templateVersion: text('template_version').notNull().default(''),
  leaseOwner: text('lease_owner'),
  leaseExpiresAt: moment('lease_expires_at'),
  reservedFor: uuid('reserved_for'),
  createdAt: createdAt(),
  updatedAt: updatedAt(),
  retiredAt: moment('retired_at'),
  dropAfter: moment('drop_after'),
  schemaVersion: bigint('schema_version', { mode: 'number' }),
  schemaFingerprint: text('schema_fingerprint'),
  formerTenantId: uuid('former_tenant_id'),
})

/** The last failure of a database's migration, until one succeeds. */
export const tenantMigrationFailures = pgTable('tenant_migration_failures', {
  databaseId: uuid('database_id')
    .primaryKey()
    .references(() => tenantDatabases.id, { onDelete: 'cascade' }),
  wantedVersion: bigint('wanted_version', { mode: 'number' }).notNull(),
  code: text('code').notNull(),
  message: text('message').notNull(),
  file: text('file'),
  attempts: integer('attempts').notNull().default(1),
  failedAt: moment('failed_at').notNull().defaultNow(),
})
