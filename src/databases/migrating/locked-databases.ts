import type { Client } from 'pg'
import { TenancyError } from '../../core/errors/errors.js'
import type { TenantDatabase } from '../../core/model.js'
import { restoreMissingPrivileges, checkIdentity } from '../building/restore-privileges.js'
import type { StateOptions } from '../owner/database-state.js'
import { createExtensions } from '../owner/extensions.js'
import { giveOver } from '../owner/give-over.js'
import { insideSettings, withConnection, withConnectionInside } from '../server/admin-connection.js'
import { hardenDatabase, readRevokedFunctions, type RevokedFunctions } from '../server/hardening.js'
import type { DatabaseLock, HeldLock } from '../server/lock-keeper.js'
import { withoutTempFileLimit } from '../server/temp-file-limit.js'
import { withTenantName } from './migration-failures.js'
import type { MigrationLimits, TenantMigrationsOptions } from './migrations-interface.js'

/** Tenant databases in the hands of one process, and what a release expects of them. */
export interface LockedDatabases {
  /** Runs `work` under the database's lock. */
  readonly underLock: <Result>(
    database: TenantDatabase,
    slug: string,
    timeoutMs: number,
    work: (held: HeldLock) => Promise<Result>,
  ) => Promise<Result>
  /** Runs `work` on a connection of the provisioning account to the database. */
  readonly asAdmin: <Result>(database: TenantDatabase, work: (client: Client) => Promise<Result>) => Promise<Result>
  /** Makes a database what this release expects of it, as the provisioning account. */
  readonly makeReady: (
    client: Client,
    database: TenantDatabase,
    limits: Omit<MigrationLimits, 'lockWaitMs'>,
  ) => Promise<void>
  /** Runs `work` on such a connection, whose search path is pg_catalog from the start. */
  readonly look: <Result>(database: TenantDatabase, work: (client: Client) => Promise<Result>) => Promise<Result>
  /** What a database has to have. */
  readonly wantedState: () => Promise<Omit<StateOptions, 'login'>>
  /** What the lock of a tenant's database protects, for messages. */
  readonly describe: (slug: string) => DatabaseLock['what']
}

const describe: LockedDatabases['describe'] = (slug) => `the database of tenant "${slug}"`

/** The tenant databases of one server. */
export function createLockedDatabases(options: TenantMigrationsOptions): LockedDatabases {
  const { server, admin, names, lockTimeoutMs = 2000, logger, lockKeyOf, isHardened, extensions, locks } = options
  const groups = { members: names.members, owners: names.owners }
  let revoked: RevokedFunctions | undefined
  const settingsOfSession = async () => ((await options.rights()).isSuperuser ? withoutTempFileLimit : '')
  return {
    describe,
    async wantedState() {
      if (isHardened) revoked ??= await readRevokedFunctions(admin)
      return { ...groups, account: server.user, extensions, revoked }
    },

    async underLock({ id, name }, slug, timeoutMs, work) {
      try {
        const lock = { key: await lockKeyOf(id), timeoutMs, database: name, what: describe(slug) }
        return await locks.withLock(lock, work)
      } catch (error) {
        throw withTenantName(slug, error)
      }
    },

    async asAdmin({ name }, work) {
      return withConnectionInside({ ...server, database: name }, work, await settingsOfSession())
    },

    async look({ name }, work) {
      return withConnection({ ...server, database: name }, work, `${insideSettings} ${await settingsOfSession()}`)
    },

    async makeReady(client, database, limits) {
      await checkIdentity(client, database)
      const waits = { lockTimeoutMs, maxAttempts: 8, ...limits }
      const isGiven = await giveOver(client, { ...waits, database: database.name, ...groups })
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
    },
  }
}
