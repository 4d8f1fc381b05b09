import type { Client } from 'pg'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import { findLockBlockers } from '../../postgres/lock-blockers.js'
import type { Logger } from '../../core/logger.js'
import type { TenantDatabase } from '../../core/model.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { describeLedger, maxInteger, pendingFiles, readAppliedFiles } from '../../postgres/sql-files.js'
import type { TenantDatabaseRecords, VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import type { DatabaseNames } from '../database-names.js'
import { readState } from '../owner/database-state.js'
import { createExtensions } from '../owner/extensions.js'
import { giveOver } from '../owner/give-over.js'
import type { OwnerConnections } from '../owner/owner-connections.js'
import { createOwnerHooks } from '../owner/owner-session.js'
import { withConnectionInside } from '../server/admin-connection.js'
import { type AdminRights, needsMembership } from '../server/admin-rights.js'
import { hardenDatabase } from '../server/hardening.js'
import type { LockKeeper } from '../server/lock-keeper.js'
import { fileSessions, waitForFileSessions } from '../server/lock-heartbeat.js'
import { withoutTempFileLimit } from '../server/temp-file-limit.js'
import { checkIdentity, restoreMissingPrivileges } from './restore-privileges.js'
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
  /** Longest time of a file's statement. Default: no limit. */
  readonly statementTimeoutMs?: number | undefined
}

/** Migrates single tenant databases, each under its lock. `slug` is for messages. */
export interface TenantMigrations {
  /**
   * Restores privileges, creates missing extensions, applies the files that the database lacks, and records its schema
   * version in the catalog, or why that failed; returns the files' names.
   *
   * @param limits Default: those of the options
   * @throws TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE; each names the tenant
   */
  migrate(database: VersionedDatabase, slug: string, limits?: MigrationLimits): Promise<string[]>
  /**
   * Looks into a database, without its lock: whether it has all that `migrate` would restore, all files, and the version that
   * `database` says. False: it has not, or cannot be reached.
   */
  isCurrent(database: VersionedDatabase): Promise<boolean>
  /**
   * Runs `work` on a connection of the database's owner login, with the group of owners as its role: what it makes belongs to
   * the application. The database is made ready for it first, under its lock; `work` runs under none. The connection has no
   * limits of time and the search path `pg_catalog`; `RESET search_path` gives it the database's own.
   *
   * @throws TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_LOCK_TIMEOUT, TENANCY_DATABASE_UNAVAILABLE; each names the
   *   tenant; and what `work` throws
   */
  withOwner<Result>(
    database: TenantDatabase,
    slug: string,
    work: (client: SqlClient) => Promise<Result>,
  ): Promise<Result>
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
  readonly records: Pick<TenantDatabaseRecords, 'recordSchema' | 'recordFailure' | 'announceMigration'>
  /** The provisioning account. */
  readonly server: ServerAccount
  /** Connections of the provisioning account, to see who holds locks. */
  readonly admin: SqlPool
  readonly names: DatabaseNames
  /** Extensions that every tenant database has. */
  readonly extensions: readonly string[]
  /** Rights of the provisioning account. */
  readonly rights: () => Promise<AdminRights>
  readonly owners: OwnerConnections
  readonly locks: Pick<LockKeeper, 'withLock'>
  /** Key of the lock under which a database is changed. */
  readonly lockKeyOf: (databaseId: string) => Promise<string>
  /** Longest wait for that lock. */
  readonly lockWaitMs: number
  /** Whether functions that use up what the server shares are revoked from PUBLIC. */
  readonly isHardened: boolean
  readonly schema: () => Promise<TenantSchema>
  /** Longest wait of a schema file's statement for a lock. Default: 2000. */
  readonly lockTimeoutMs?: number | undefined
  readonly logger: Logger
}

/** Migrations of the tenant databases of one server. */
export function createTenantMigrations(options: TenantMigrationsOptions): TenantMigrations {
  const { records, server, admin, names, schema, lockTimeoutMs = 2000, logger } = options
  const { lockKeyOf, lockWaitMs: defaultLockWaitMs, isHardened, extensions, owners, locks } = options

  /** Runs `work` under the database's lock. */
  const underLock = async <Result>(
    { id, name }: TenantDatabase,
    slug: string,
    timeoutMs: number,
    work: (check: () => Promise<void>) => Promise<Result>,
  ) => {
    try {
      const lock = { key: await lockKeyOf(id), timeoutMs, database: name, what: `the database of tenant "${slug}"` }
      return await locks.withLock(lock, work)
    } catch (error) {
      throw withTenantName(slug, error)
    }
  }

  /** Runs `work` on a connection of the provisioning account to the database. */
  const asAdmin = async <Result>({ name }: TenantDatabase, work: (client: Client) => Promise<Result>) => {
    const settings = (await options.rights()).isSuperuser ? withoutTempFileLimit : undefined
    return withConnectionInside({ ...server, database: name }, work, settings)
  }
  const inside = <Result>(
    database: TenantDatabase,
    slug: string,
    timeoutMs: number,
    work: (client: Client) => Promise<Result>,
  ) => underLock(database, slug, timeoutMs, () => asAdmin(database, work))

  const stateOptions = { ...groupsOf(names), account: server.user, extensions, isHardened }

  /**
   * The usual case: the database lacks nothing but the files, and one connection of the owner login is enough. Undefined:
   * nothing was done, and the provisioning account has to look.
   */
  const asOwner = async (
    database: TenantDatabase,
    wanted: TenantSchema,
    work: (client: Client, how: Pick<ApplySchemaOptions, 'applied' | 'isFresh' | 'session'>) => Promise<string[]>,
  ): Promise<string[] | undefined> => {
    // Of the lists of other tools, and of a ledger that has to be changed, the login may own nothing.
    if (wanted.tool || (wanted.files.at(-1)?.version ?? 0) > maxInteger) return undefined
    const mustBeJoined = needsMembership(await options.rights())
    const client = await owners.open(database, fileSessions).catch(() => undefined)
    if (client === undefined) return undefined
    const { session } = createOwnerHooks(groupsOf(names))
    try {
      const state = { ...stateOptions, login: { mustBeJoined } }
      const applied = await readState(client, database, state).catch(() => undefined)
      return applied && (await work(client, { applied, session, isFresh: true }))
    } finally {
      await client.end()
      if (session.mayHaveChangedLogin) await owners.restore(database)
    }
  }

  /** Makes a database what this release expects of it, as the provisioning account. */
  const makeReady = async (client: Client, database: TenantDatabase, limits: Omit<MigrationLimits, 'lockWaitMs'>) => {
    await checkIdentity(client, database)
    const waits = { lockTimeoutMs, maxAttempts: 8, ...limits }
    const isGiven = await giveOver(client, { ...waits, database: database.name, ...groupsOf(names) })
    if (isGiven) {
      logger.info({ databaseId: database.id }, 'The objects of a tenant database were given to their owner')
    }
    const isRestored = await restoreMissingPrivileges(client, database, names)
    if (isRestored && !isGiven)
      logger.warn({ databaseId: database.id }, 'Privileges of a tenant database were missing; they were restored')
    await createExtensions(client, extensions).catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new TenancyError('TENANCY_DATABASE_SCHEMA_FAILED', `An extension could not be created: ${reason}`, {
        cause,
      })
    })
    if (isHardened) await hardenDatabase(client, names.members, names.owners)
  }

  /** Tells the processes that serve the tenant, if the catalog knows that a file is missing. */
  const announce = ({ id, schemaVersion }: VersionedDatabase): Promise<void> => {
    const announcing = schema().then(async ({ latest }) => {
      if (schemaVersion === null || schemaVersion < latest.version) await records.announceMigration(id)
    })
    // The connection may fail first.
    announcing.catch(() => {})
    return announcing
  }

  /** Has the catalog remember why a tenant was not migrated. That it cannot changes nothing for the caller. */
  const recordFailure = async ({ id }: TenantDatabase, error: unknown): Promise<void> => {
    const known = findTenancyError(error)
    if (known === undefined || passing.has(known.code)) return
    try {
      const { files, latest } = await schema()
      const file = files.find(({ name }) => isAbout(known, name))?.name
      const { code, message } = known
      await records.recordFailure(id, { wantedVersion: latest.version, code, message, file })
    } catch (cause) {
      logger.warn({ databaseId: id, err: cause }, 'Why a tenant was not migrated could not be recorded in the catalog')
    }
  }

  /** Runs `work` with the schema, and with what it is applied. */
  const change = (
    database: TenantDatabase,
    slug: string,
    { lockWaitMs, ...limits }: MigrationLimits,
    announced: Promise<void>,
    work: (client: Client, wanted: TenantSchema, how: ApplySchemaOptions) => Promise<string[]>,
  ) => {
    const how: Omit<ApplySchemaOptions, 'withOwner'> = {
      ...groupsOf(names),
      ...{ lockTimeoutMs, tenant: { slug, databaseId: database.id } },
      ...limits,
      findBlockers: (pid) => findLockBlockers(admin, pid),
      record: (state) => records.recordSchema(database.id, state),
    }
    const changing = underLock(database, slug, lockWaitMs, async (check) => {
      const wanted = await schema()
      const what = `the database of tenant "${slug}"`
      await waitForFileSessions(admin, { database: database.name, timeoutMs: lockWaitMs, what })
      const done = await asOwner(database, wanted, async (client, known) => {
        await announced
        // Whoever has taken the lock since then has not seen this session, which runs nothing yet.
        await check()
        return work(client, wanted, { ...how, ...known, withOwner: (run) => run(client) })
      })
      if (done) return done
      return asAdmin(database, async (client) => {
        await makeReady(client, database, limits)
        await announced
        return work(client, wanted, {
          ...how,
          async withOwner(run) {
            await owners.ensure(client, database)
            // The files need no other connection of this account: a migration has two at a time.
            await client.end()
            const checkAndRun = async (fileClient: Client) => {
              await check()
              await run(fileClient)
            }
            await owners.connect(database, checkAndRun, fileSessions)
          },
        })
      })
    })
    return changing.catch(async (error: unknown) => {
      await recordFailure(database, error)
      throw error
    })
  }

  /** Whether the database has everything, and just the version that the catalog says. It takes no lock. */
  const isCurrent = async (database: VersionedDatabase): Promise<boolean> => {
    const { files } = await schema()
    const applied = await asAdmin(database, (client) => readState(client, database, stateOptions))
    if (applied === undefined) return false
    const { version, fingerprint } = describeLedger(applied)
    // Only under the lock may the catalog be corrected.
    if (version !== database.schemaVersion || fingerprint !== database.schemaFingerprint) return false
    const found = pendingFiles(files, applied)
    return 'pending' in found && found.pending.length === 0
  }
  const usual: MigrationLimits = { lockWaitMs: defaultLockWaitMs }

  return {
    migrate: (database, slug, limits = usual) =>
      // Meanwhile the connections are opened; processes that serve the tenant have heard of it when the first file runs.
      change(database, slug, limits, announce(database), applyTenantSchema),

    // Whatever is wrong is found again under the lock.
    isCurrent: (database) => isCurrent(database).catch(() => false),

    revert: (database, slug, to, limits = usual) => {
      const announced = records.announceMigration(database.id)
      announced.catch(() => {})
      return change(database, slug, limits, announced, (client, wanted, how) =>
        revertTenantSchema(client, wanted, to, how),
      )
    },

    async withOwner(database, slug, work) {
      await inside(database, slug, defaultLockWaitMs, async (client) => {
        await makeReady(client, database, {})
        await owners.ensure(client, database)
      })
      return owners.connect(database, work)
    },

    readVersion: (database, slug, lockWaitMs) =>
      inside(database, slug, lockWaitMs, async (client) => {
        const state = await readAppliedFiles(client, ledgerSchema)
        await records.recordSchema(database.id, state)
        return state.version
      }),
  }
}

/** Another process works on the database, or the catalog itself is away: no failure of the tenant's. */
const passing: ReadonlySet<string> = new Set(['TENANCY_DATABASE_LOCK_TIMEOUT', 'TENANCY_CATALOG_UNAVAILABLE'])

/** Whether an error is about a file: its message names the file first, after the tenant. */
function isAbout({ message }: TenancyError, file: string): boolean {
  return [':', ',', ' '].some((end) => message.includes(`": ${file}${end}`))
}
const groupsOf = ({ members, owners }: DatabaseNames) => ({ members, owners })

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
