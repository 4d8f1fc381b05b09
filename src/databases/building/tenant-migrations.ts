import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { findTenancyError, isTenancyError, TenancyError } from '../../core/errors/errors.js'
import { findLockBlockers } from '../../postgres/lock-blockers.js'
import type { Logger } from '../../core/logger.js'
import type { TenantDatabase } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { readAppliedFiles } from '../../postgres/sql-files.js'
import type { TenantDatabaseRecords, VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import { withConnectionInside } from '../server/admin-connection.js'
import { createBuildQueue } from './build-queue.js'
import { withDatabaseLock } from '../server/database-lock.js'
import { hardenDatabase } from '../server/hardening.js'
import { endStuckSessions } from '../server/lock-life.js'
import { restorePrivileges } from './tenant-privileges.js'
import { applyTenantSchema, ledgerSchema, type TenantSchema } from './tenant-schema.js'

/** Keeps the schemas of tenants' databases at what this process demands. `slug` is for messages. */
export interface TenantMigrations {
  /**
   * Restores privileges, applies the files that the database lacks, and tells the catalog; returns the files' names.
   * @throws TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE; each names the tenant
   */
  migrate(database: TenantDatabase, slug: string): Promise<string[]>
  /**
   * Resolves when the database serves: at once when the catalog knows that its schema is not older than this process
   * demands. Else it is brought up to date, or asked, which is waited for a second at most; it goes on without the caller.
   * @throws TENANCY_DATABASE_SCHEMA_BEHIND
   */
  demand(database: VersionedDatabase, slug: string): Promise<void>
  /** Waits for the migrations under way, and begins no other. */
  close(): Promise<void>
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
  /** Whether functions that use up what the server shares are taken from PUBLIC. */
  readonly isHardened: boolean
  readonly schema: () => Promise<TenantSchema>
  /** What becomes of a database that is behind when somebody wants to use it. Default: `migrate`. */
  readonly whenBehind?: 'migrate' | 'refuse' | undefined
  readonly lockTimeoutMs?: number | undefined
  readonly logger: Logger
}

/** How long a migration waits for others. */
interface MigrationLimits {
  /** Longest wait for the database's lock. */
  readonly lockWaitMs: number
  /** How often a file that waits for locks is tried. Default: as `SqlLedger` says. */
  readonly maxAttempts?: number
}

/** A database that is behind, and what is done about it. */
interface Behind {
  work: Promise<void> | undefined
  /** Until then, callers wait for `work`. */
  waitUntilMs: number
  waiting: number
  failures: number
  /** Nobody tries before that. */
  retryAtMs: number
}

/** Migrations at a time that requests have asked for, and connections that they take. */
export const maxDemandedMigrations = 2
/** Each holds one of the six connections that may be opened at a time: the others are for tenants that are not behind. */
const maxWaiting = 4
const maxWaitingForOne = 3
const waitMs = 1000
/** A tenant that keeps its own migration waiting is not to keep others waiting. */
const demandedLimits: MigrationLimits = { lockWaitMs: 2000, maxAttempts: 3 }
const inTheWay: ReadonlySet<string> = new Set(['TENANCY_DATABASE_SCHEMA_BLOCKED', 'TENANCY_DATABASE_LOCK_TIMEOUT'])
const minRetryMs = 1000
const maxRetryMs = 60_000

/** Migrations of the tenant databases of one server. */
export function createTenantMigrations(options: TenantMigrationsOptions): TenantMigrations {
  const { records, server, admin, members, schema, whenBehind = 'migrate', lockTimeoutMs, logger } = options
  const { lockKeyOf, lockWaitMs, connectionSettings, isHardened } = options
  const queue = createBuildQueue(maxDemandedMigrations)
  const behind = new Map<string, Behind>()
  let waiting = 0
  let isClosed = false

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
        await endStuckSessions(client)
        return work(client)
      }
      return await withDatabaseLock(server, lock, () => withConnectionInside(account, cleanAndWork, settings))
    } catch (error) {
      throw named(slug, error)
    }
  }

  const migrate = (
    database: TenantDatabase,
    slug: string,
    { lockWaitMs: waitForOthersMs, ...limits }: MigrationLimits,
  ) =>
    inside(database, slug, waitForOthersMs, async (client) => {
      const wanted = await schema()
      await restoreOnce(client, database)
      const applied = await applyTenantSchema(client, wanted, {
        members,
        lockTimeoutMs,
        ...limits,
        findBlockers: (pid) => findLockBlockers(admin, pid),
        record: (state) => records.recordSchema(database.id, state),
      })
      if (isHardened) await hardenDatabase(client, members)
      return applied
    })

  const restoreOnce = async (client: Client, database: TenantDatabase) => {
    const isRestored = await restorePrivileges(client, database, members)
    if (isRestored)
      logger.warn({ databaseId: database.id }, 'Privileges of a tenant database were missing; they were restored')
  }

  /** The catalog may not know yet what the database has. */
  const readState = (database: TenantDatabase, slug: string) =>
    inside(database, slug, demandedLimits.lockWaitMs, async (client) => {
      const state = await readAppliedFiles(client, ledgerSchema)
      await records.recordSchema(database.id, state)
      return state.version
    })

  const catchUp = async (database: TenantDatabase, slug: string, demanded: number) => {
    if (whenBehind === 'migrate') {
      const applied = await migrate(database, slug, demandedLimits)
      if (applied.length > 0) {
        logger.info({ databaseId: database.id, tenant: slug, files: applied }, 'A tenant was behind and was migrated')
      }
      return
    }
    const version = await readState(database, slug)
    if (version < demanded) throw new TenancyError('TENANCY_DATABASE_SCHEMA_BEHIND', describe(slug, version, demanded))
  }

  const start = (entry: Behind, database: TenantDatabase, slug: string, demanded: number) => {
    entry.waitUntilMs = Date.now() + waitMs
    entry.work = queue
      // One that keeps failing, such as one whose tables its tenant has locked, goes behind all others.
      .run(() => catchUp(database, slug, demanded), entry.failures === 0)
      .then(
        () => void behind.delete(database.id),
        (error: unknown) => {
          entry.failures += 1
          const pauseMs = Math.min(minRetryMs * 2 ** (entry.failures - 1), maxRetryMs)
          entry.retryAtMs = Date.now() + pauseMs
          if (!isTenancyError(error, 'TENANCY_DATABASE_SCHEMA_BEHIND')) {
            // Somebody is in the way, such as another process that migrates it.
            const level = inTheWay.has(findTenancyError(error)?.code ?? '') ? 'warn' : 'error'
            logger[level]({ databaseId: database.id, tenant: slug, err: error, retryInMs: pauseMs }, messageFor(error))
          }
          throw error
        },
      )
      .finally(() => {
        entry.work = undefined
      })
    // Whoever waits hears of it; nobody may.
    entry.work.catch(() => {})
  }

  return {
    migrate: (database, slug) => migrate(database, slug, { lockWaitMs }),

    async demand(database, slug) {
      const { version: demanded } = (await schema()).latest
      const { id, schemaVersion } = database
      if (demanded === -1 || (schemaVersion !== null && schemaVersion >= demanded)) {
        behind.delete(id)
        return
      }
      const refusal = () =>
        new TenancyError('TENANCY_DATABASE_SCHEMA_BEHIND', describe(slug, schemaVersion, demanded), {
          retryAfterSeconds: 1,
        })
      if (isClosed) throw refusal()
      let entry = behind.get(id)
      if (!entry) {
        entry = { work: undefined, waitUntilMs: 0, waiting: 0, failures: 0, retryAtMs: 0 }
        behind.set(id, entry)
      }
      if (entry.work === undefined) {
        if (Date.now() < entry.retryAtMs) throw refusal()
        start(entry, database, slug, demanded)
      }
      const remainingMs = entry.waitUntilMs - Date.now()
      if (waiting >= maxWaiting || entry.waiting >= maxWaitingForOne || remainingMs <= 0) throw refusal()
      waiting += 1
      entry.waiting += 1
      try {
        const isDone = await Promise.race([
          (entry.work ?? Promise.resolve()).then(() => true),
          sleep(remainingMs, false, { ref: false }),
        ])
        if (!isDone) throw refusal()
      } catch (cause) {
        if (isTenancyError(cause, 'TENANCY_DATABASE_SCHEMA_BEHIND')) throw cause
        throw new TenancyError('TENANCY_DATABASE_SCHEMA_BEHIND', describe(slug, schemaVersion, demanded), { cause })
      } finally {
        waiting -= 1
        entry.waiting -= 1
      }
    },

    async close() {
      isClosed = true
      await queue.drained()
    },
  }
}

function describe(slug: string, version: number | null, demanded: number): string {
  const has = version === null ? 'an unknown schema' : version === -1 ? 'no schema file' : `schema ${version}`
  return `The database of tenant "${slug}" has ${has}, this process demands ${demanded}`
}

function messageFor(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error)
  return `A tenant is behind and could not be migrated: ${reason}`
}

/** The error with the tenant's name, which whoever wrote the file does not know. */
function named(slug: string, error: unknown): TenancyError {
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
