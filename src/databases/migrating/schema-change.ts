import type { Client } from 'pg'
import type { TenantDatabase } from '../../core/model.js'
import { findLockBlockers } from '../../postgres/lock-blockers.js'
import { describeLedger, maxInteger } from '../../postgres/files/sql-files.js'
import type { ApplySchemaOptions, TenantSchema } from '../building/tenant-schema.js'
import { readState } from '../owner/database-state.js'
import { createOwnerHooks } from '../owner/owner-session.js'
import { needsMembership } from '../server/admin-rights.js'
import { fileSessions, waitForFileSessions } from '../server/lock-heartbeat.js'
import type { HeldLock } from '../server/lock-keeper.js'
import type { LockedDatabases } from './locked-databases.js'
import { recordFailure } from './migration-failures.js'
import { applyPlainFiles, type PlainFiles } from './plain-migration.js'
import type { MigrationLimits, TenantMigrationsOptions } from './migrations-interface.js'

/** A change of one database's schema. */
export interface SchemaChange {
  readonly database: TenantDatabase
  readonly slug: string
  readonly limits: MigrationLimits
  /** Resolves when the processes that serve the tenant have been told. */
  readonly announced: Promise<void>
  /** The files, if they can be applied in the short way. Default: that is not tried. */
  readonly plainFor?: (wanted: TenantSchema) => PlainFiles | undefined
}

/** Applies or reverts files; returns their names. */
export type SchemaWork = (client: Client, wanted: TenantSchema, how: ApplySchemaOptions) => Promise<string[]>

/** Makes the function that runs `work` with the schema, and with what it is applied, under the database's lock. */
export function createSchemaChange(
  options: TenantMigrationsOptions,
  { underLock, asAdmin, makeReady, wantedState, describe }: LockedDatabases,
): (change: SchemaChange, work: SchemaWork) => Promise<string[]> {
  const { records, admin, names, schema, lockTimeoutMs = 2000, owners } = options
  const groups = { members: names.members, owners: names.owners }

  /**
   * The usual case: the database lacks nothing but the files, and one connection of the owner login is enough. Undefined: the
   * provisioning account has to look. `done` receives the files that were applied all the same.
   */
  const asOwner = async (
    { database, limits, plainFor }: SchemaChange,
    wanted: TenantSchema,
    { done, begin }: { readonly done: string[]; readonly begin: () => Promise<void> },
    work: (client: Client, how: Pick<ApplySchemaOptions, 'applied' | 'isFresh' | 'session'>) => Promise<string[]>,
  ): Promise<string[] | undefined> => {
    // Of the lists of other tools, and of a ledger that has to be changed, the login may own nothing.
    if (wanted.tool || (wanted.files.at(-1)?.version ?? 0) > maxInteger) return undefined
    const mustBeJoined = needsMembership(await options.rights())
    const client = await owners.open(database, fileSessions).catch(() => undefined)
    if (client === undefined) return undefined
    const { session } = createOwnerHooks(groups)
    try {
      await begin()
      const plain = plainFor?.(wanted)
      if (plain) {
        const run = await applyPlainFiles(client, database, plain, {
          ...(await wantedState()),
          lockTimeoutMs,
          ...limits,
        })
        done.push(...run.applied.map(({ name }) => name))
        if (run.isDone) {
          await records.recordSchema(database.id, describeLedger([...plain.before, ...run.applied]))
          return []
        }
      }
      const state = { ...(await wantedState()), login: { mustBeJoined } }
      const applied = await readState(client, database, state).catch(() => undefined)
      return applied && (await work(client, { applied, session, isFresh: true }))
    } finally {
      await client.end()
      if (session.mayHaveChangedLogin) await owners.restore(database)
    }
  }

  const runUnderLock = async (change: SchemaChange, work: SchemaWork, { check, hasFileSessions }: HeldLock) => {
    const { database, slug, announced } = change
    const { lockWaitMs, isAnnounced: _isAnnounced, ...limits } = change.limits
    const how: Omit<ApplySchemaOptions, 'withOwner'> = {
      ...groups,
      ...{ lockTimeoutMs, tenant: { slug, databaseId: database.id } },
      ...limits,
      findBlockers: (pid) => findLockBlockers(admin, pid),
      record: (state) => records.recordSchema(database.id, state),
    }
    const wanted = await schema()
    if (hasFileSessions) {
      await waitForFileSessions(admin, { database: database.name, timeoutMs: lockWaitMs, what: describe(slug) })
    }
    const done: string[] = []
    const begin = async () => {
      await announced
      // Whoever has taken the lock since then has not seen this session, which runs nothing yet.
      await check()
    }
    const usual = await asOwner(change, wanted, { done, begin }, (client, known) =>
      work(client, wanted, { ...how, ...known, withOwner: (run) => run(client) }),
    )
    if (usual) return [...done, ...usual]
    const rest = await asAdmin(database, async (client) => {
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
    return [...done, ...rest]
  }

  return async (change, work) => {
    const { database, slug, limits } = change
    try {
      return await underLock(database, slug, limits.lockWaitMs, (held) => runUnderLock(change, work, held))
    } catch (error) {
      await recordFailure(options, database, error)
      throw error
    }
  }
}
