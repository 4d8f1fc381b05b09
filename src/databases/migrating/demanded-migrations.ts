import { setTimeout as sleep } from 'node:timers/promises'
import { findTenancyError, isTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import type { VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import type { BuildQueue } from '../building/build-queue.js'
import type { MigrationLimits, TenantMigrations } from './migrations-interface.js'
import type { TenantSchema } from '../building/tenant-schema.js'

/** Migrates databases that are behind when a request wants to use them. `slug` is for messages. */
export interface DemandedMigrations {
  /**
   * Resolves when the database may serve. That is at once when the catalog knows that its schema is not older than this
   * process demands. Otherwise the database is migrated, or its ledger is read; the caller waits for a second at most,
   * and the work continues without the caller.
   * @param atLeast demands this version, too. Default: what the process demands of every database
   * @throws TENANCY_DATABASE_SCHEMA_BEHIND, TENANCY_DATABASE_SCHEMA_AHEAD
   */
  demand(database: VersionedDatabase, slug: string, atLeast?: number): Promise<void>
  /** Waits for the migrations under way, and begins no other. */
  close(): Promise<void>
}

/** What {@link createDemandedMigrations} needs. */
export interface DemandedMigrationsOptions {
  readonly migrations: TenantMigrations
  readonly schema: () => Promise<TenantSchema>
  /** Runs {@link maxDemandedMigrations} at a time. */
  readonly queue: BuildQueue
  /**
   * Whether a database without the newest file is migrated, refused after its ledger was read, or served. One below
   * `minimum` is never served. Default: `migrate`.
   */
  readonly whenBehind?: 'migrate' | 'refuse' | 'serve' | undefined
  /** Oldest and newest version that the process serves. Default: any. */
  readonly range: () => Promise<{ readonly minimum: number | undefined; readonly maximum: number | undefined }>
  readonly logger: Logger
}

/** A database that is behind, and the work on it. */
interface Behind {
  work: Promise<void> | undefined
  /** Callers wait for `work` until then. */
  waitUntilMs: number
  waiting: number
  failures: number
  /** No try before that. */
  retryAtMs: number
}

/** Migrations at a time that requests have asked for, and a fleet's beside them. */
export const maxDemandedMigrations = 2
/** Each waiting caller holds one of the six connections that may be opened at a time; the others are for other tenants. */
const maxWaiting = 4
const maxWaitingForOne = 3
const waitMs = 1000
/** Short: a tenant whose own sessions block its migration must not delay other tenants. */
const limits: MigrationLimits = { lockWaitMs: 2000, maxAttempts: 3 }
/** Codes of a migration that waits for another session or process. */
const blocked: ReadonlySet<string> = new Set(['TENANCY_DATABASE_SCHEMA_BLOCKED', 'TENANCY_DATABASE_LOCK_TIMEOUT'])
const minRetryMs = 1000
const maxRetryMs = 60_000

/** Migrations on demand of the tenant databases of one server, {@link maxDemandedMigrations} at a time. */
export function createDemandedMigrations(options: DemandedMigrationsOptions): DemandedMigrations {
  const { migrations, schema, queue, whenBehind = 'migrate', range, logger } = options
  const lag = createLagLog(logger)
  const behind = new Map<string, Behind>()
  let waiting = 0
  let isClosed = false

  const catchUp = async (database: VersionedDatabase, slug: string, demanded: number) => {
    if (whenBehind === 'migrate') {
      const applied = await migrations.migrate(database, slug, limits)
      if (applied.length > 0) {
        logger.info({ databaseId: database.id, tenant: slug, files: applied }, 'A tenant was behind and was migrated')
      }
      return
    }
    const version = await migrations.readVersion(database, slug, limits.lockWaitMs)
    if (version < demanded) throw new TenancyError('TENANCY_DATABASE_SCHEMA_BEHIND', describe(slug, version, demanded))
  }

  const start = (entry: Behind, database: VersionedDatabase, slug: string, demanded: number) => {
    entry.waitUntilMs = Date.now() + waitMs
    entry.work = queue
      // A database that keeps failing, such as one whose tables its tenant has locked, goes behind all others.
      .run(() => catchUp(database, slug, demanded), entry.failures === 0)
      .then(
        () => void behind.delete(database.id),
        (error: unknown) => {
          entry.failures += 1
          const pauseMs = Math.min(minRetryMs * 2 ** (entry.failures - 1), maxRetryMs)
          entry.retryAtMs = Date.now() + pauseMs
          if (!isTenancyError(error, 'TENANCY_DATABASE_SCHEMA_BEHIND')) {
            // Blocked is no fault of ours: another process may migrate the same database.
            const level = blocked.has(findTenancyError(error)?.code ?? '') ? 'warn' : 'error'
            logger[level]({ databaseId: database.id, tenant: slug, err: error, retryInMs: pauseMs }, messageFor(error))
          }
          throw error
        },
      )
      .finally(() => {
        entry.work = undefined
      })
    // Callers that wait get the error; there may be none.
    entry.work.catch(() => {})
  }

  return {
    async demand(database, slug, atLeast = -1) {
      const { version: newest } = (await schema()).latest
      const { minimum = -1, maximum = Infinity } = await range()
      const { id, schemaVersion } = database
      if (schemaVersion !== null && schemaVersion > maximum) {
        throw new TenancyError(
          'TENANCY_DATABASE_SCHEMA_AHEAD',
          `The database of tenant "${slug}" has schema ${schemaVersion}, this process serves ${maximum} at most`,
        )
      }
      const demanded = Math.max(whenBehind === 'serve' ? minimum : Math.min(newest, maximum), atLeast)
      if ((schemaVersion ?? -1) < newest && (schemaVersion ?? -1) >= demanded) lag.note(slug, schemaVersion, newest)
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

/** Tenants that are named in the log because they lag behind. */
const maxLagging = 20

/** Logs that tenants are served on an older schema: each once, and not more than {@link maxLagging}. */
function createLagLog(logger: Logger) {
  const named = new Set<string>()
  return {
    note(slug: string, version: number | null, newest: number) {
      if (named.size >= maxLagging || named.has(slug)) return
      named.add(slug)
      const others = named.size === maxLagging ? '; others that lag behind are not named' : ''
      logger.warn(
        { tenant: slug, schemaVersion: version, newest },
        `A tenant is served on an older schema than the newest of this process${others}`,
      )
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
