import type { Client } from 'pg'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import { findLockBlockers } from '../../postgres/lock-blockers.js'
import type { Logger } from '../../core/logger.js'
import type { TenantDatabase } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { readAppliedFiles } from '../../postgres/sql-files.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import { withConnectionInside } from '../server/admin-connection.js'
import { withDatabaseLock } from '../server/database-lock.js'
import { hardenDatabase } from '../server/hardening.js'
import { endAbandonedTransactions } from '../server/lock-heartbeat.js'
import { restorePrivileges } from './restore-privileges.js'
import {
  type ApplySchemaOptions,
  applyTenantSchema,
  ledgerSchema,
  revertTenantSchema,
  type TenantSchema,
} from './tenant-schema.js'

/** Longest waits of a migration. */
export interface MigrationLimits {
  /** Longest wait for the database's lock. */
  readonly lockWaitMs: number
  /** How often a file that waits for locks is tried. Default: as `SqlLedger` says. */
  readonly maxAttempts?: number
  /** Longest wait of a file's statement for a lock. Default: that of the options. */
  readonly lockTimeoutMs?: number
}

/** Migrates single tenant databases, each under its lock. `slug` is for messages. */
export interface TenantMigrations {
  /**
   * Restores privileges, applies the files that the database lacks, and records its schema version in the catalog;
   * returns the files' names.
   *
   * @param limits Default: those of the options
   * @throws TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE; each names the tenant
   */
  migrate(database: TenantDatabase, slug: string, limits?: MigrationLimits): Promise<string[]>
  /**
   * Reverts the migrations after a version, the newest first, and records the schema version after each; returns their names.
   *
   * @param to number of the last migration that stays; -1: none
   * @throws TENANCY_DATABASE_SCHEMA_IRREVERSIBLE, and as `migrate`; each names the tenant
   */
  revert(database: TenantDatabase, slug: string, to: number, limits?: MigrationLimits): Promise<string[]>
  /**
   * Reads the schema version from the database's ledger, and records it in the catalog, which may not know it yet.
   * @throws TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE; each names the tenant
   */
  readVersion(database: TenantDatabase, slug: string, lockWaitMs: number): Promise<number>
}

/** What {@link createTenantMigrations} needs. */
export interface TenantMigrationsOptions {
  readonly records: Pick<TenantDatabaseRecords, 'recordSchema'>
  /** The provisioning account; its `database` is the catalog, where locks are held. */
  readonly server: ServerAccount
  /** Connections of the provisioning account, to see who holds locks. */
  readonly admin: SqlPool
  /** The group role. */
  readonly members: string
  /** Key of the lock under which a database is changed. */
  readonly lockKeyOf: (databaseId: string) => Promise<string>
  /** Longest wait for that lock. */
  readonly lockWaitMs: number
  /** Settings that connections to tenant databases start with, `-c name=value`. */
  readonly connectionSettings: () => Promise<string | undefined>
  /** Whether functions that use up what the server shares are revoked from PUBLIC. */
  readonly isHardened: boolean
  readonly schema: () => Promise<TenantSchema>
  /** Longest wait of a schema file's statement for a lock. Default: 2000. */
  readonly lockTimeoutMs?: number | undefined
  readonly logger: Logger
}

/** Migrations of the tenant databases of one server. */
export function createTenantMigrations(options: TenantMigrationsOptions): TenantMigrations {
  const { records, server, admin, members, schema, lockTimeoutMs, logger } = options
  const { lockKeyOf, lockWaitMs: defaultLockWaitMs, connectionSettings, isHardened } = options

  /** Runs `work` on a connection to the database, under the database's lock. */
  const inside = async <Result>(
    { id, name }: TenantDatabase,
    slug: string,
    timeoutMs: number,
    work: (client: Client) => Promise<Result>,
  ) => {
    try {
      const lock = { key: await lockKeyOf(id), timeoutMs, what: `the database of tenant "${slug}"` }
      const settings = await connectionSettings()
      const account = { ...server, database: name }
      const cleanAndWork = async (client: Client) => {
        await endAbandonedTransactions(client)
        return work(client)
      }
      return await withDatabaseLock(server, lock, () => withConnectionInside(account, cleanAndWork, settings))
    } catch (error) {
      throw withTenantName(slug, error)
    }
  }

  const restoreOnce = async (client: Client, database: TenantDatabase) => {
    const isRestored = await restorePrivileges(client, database, members)
    if (isRestored)
      logger.warn({ databaseId: database.id }, 'Privileges of a tenant database were missing; they were restored')
  }

  /** Runs `work` with the schema, and what it is applied with. */
  const change = (
    database: TenantDatabase,
    slug: string,
    { lockWaitMs, ...limits }: MigrationLimits,
    work: (client: Client, wanted: TenantSchema, how: ApplySchemaOptions) => Promise<string[]>,
  ) =>
    inside(database, slug, lockWaitMs, async (client) => {
      const wanted = await schema()
      await restoreOnce(client, database)
      const changed = await work(client, wanted, {
        ...{ members, lockTimeoutMs, tenant: { slug, databaseId: database.id } },
        ...limits,
        findBlockers: (pid) => findLockBlockers(admin, pid),
        record: (state) => records.recordSchema(database.id, state),
      })
      if (isHardened) await hardenDatabase(client, members)
      return changed
    })
  const usual: MigrationLimits = { lockWaitMs: defaultLockWaitMs }

  return {
    migrate: (database, slug, limits = usual) => change(database, slug, limits, applyTenantSchema),

    revert: (database, slug, to, limits = usual) =>
      change(database, slug, limits, (client, wanted, how) => revertTenantSchema(client, wanted, to, how)),

    readVersion: (database, slug, lockWaitMs) =>
      inside(database, slug, lockWaitMs, async (client) => {
        const state = await readAppliedFiles(client, ledgerSchema)
        await records.recordSchema(database.id, state)
        return state.version
      }),
  }
}

/** Adds the tenant to an error: the code that raised it knows only the file. */
function withTenantName(slug: string, error: unknown): TenancyError {
  const known = findTenancyError(error)
  if (known?.code === 'TENANCY_CATALOG_UNAVAILABLE' || known?.code === 'TENANCY_DATABASE_LOCK_TIMEOUT') return known
  if (known) {
    return new TenancyError(known.code, `Tenant "${slug}": ${known.message}`, {
      ...(known.cause === undefined ? {} : { cause: known.cause }),
    })
  }
  const reason = error instanceof Error ? error.message : String(error)
  return new TenancyError(
    'TENANCY_DATABASE_UNAVAILABLE',
    `The database of tenant "${slug}" cannot be reached: ${reason}`,
    { cause: error },
  )
}
