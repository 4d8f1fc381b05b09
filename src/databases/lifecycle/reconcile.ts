import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../core/logger.js'
import type { RecordedDatabase } from '../../core/tenants/tenant-databases.js'
import type { BuilderOptions } from '../building/database-builder.js'
import { leaseMs } from '../server/database-lease.js'
import { breakLock } from '../server/database-lock.js'
import { type DropOutcome, dropTenantDatabase } from './drop-database.js'
import { inspectServer } from './inspection.js'
import { databaseLockKey } from '../server/lock-keys.js'
import { findUnfinishedTemplates, removeUnfinishedTemplates } from '../building/template.js'

/** What a reconciliation did, and what it found and leaves to an operator. */
export interface Reconciliation {
  /** Ids of tenant databases that were dropped: builds of dead processes, outdated stock, those past their retention. */
  readonly dropped: readonly string[]
  /** Ids of deleted tenants that were removed with their databases. */
  readonly purged: readonly string[]
  /** Names of unfinished templates that were removed. */
  readonly templates: readonly string[]
  /** Ids of tenant databases that could not be dropped; the next reconciliation tries again. */
  readonly failed: readonly string[]
  /** Ids of tenant databases that belong to a tenant and are not on the server: restore them from a backup. */
  readonly missing: readonly string[]
  /**
   * Names on the server that are this installation's and are not in its catalog, as after a restore of an older catalog.
   * They may hold data, which only their row could tell: they are never dropped.
   */
  readonly unknown: readonly string[]
}

/** Options of {@link reconcileDatabases}. */
export interface ReconcileOptions {
  readonly templateVersion: string
  readonly outdatedAfterMs: number
  readonly logger: Logger
  /** Whether to compare all of the server with the catalog, too. */
  readonly isThorough: boolean
}

/**
 * Finishes the work of dead processes: drops their builds, half-dropped databases, those past their retention, ready
 * databases of another schema version that no tenant got for long, and unfinished templates. Safe in several processes at
 * once.
 */
export async function reconcileDatabases(builder: BuilderOptions, options: ReconcileOptions): Promise<Reconciliation> {
  const { records, serverId } = builder
  const { logger } = options
  await records.retireOutdated(serverId, options.templateVersion, options.outdatedAfterMs)
  const { missing, unknown } = options.isThorough ? await inspect(builder, logger) : { missing: [], unknown: [] }
  const dropped: string[] = []
  const purged: string[] = []
  const failed: string[] = []
  for (const { id, isOverdue } of await records.unfinished(serverId, leaseMs)) {
    try {
      const outcome = await finish(builder, id, isOverdue)
      if (outcome.kind !== 'dropped') continue
      dropped.push(id)
      logger.info({ databaseId: id, tenantId: outcome.tenantId }, 'A tenant database was dropped')
      if (outcome.tenantId !== null) purged.push(outcome.tenantId)
    } catch (error) {
      failed.push(id)
      // It is tried again every few seconds, and logged as a warning less often.
      logger[options.isThorough ? 'warn' : 'debug'](
        { databaseId: id, err: error },
        'A tenant database could not be dropped',
      )
    }
  }
  return { dropped, purged, templates: await removeTemplates(builder), failed, missing, unknown }
}

async function finish(builder: BuilderOptions, id: string, isOverdue: boolean): Promise<DropOutcome> {
  const outcome = await dropTenantDatabase(builder, id)
  if (outcome.kind !== 'busy' || !isOverdue) return outcome
  // Another process may have begun just now, and renews the lease.
  await sleep(graceMs)
  const { records, serverId, admin } = builder
  const now = (await records.unfinished(serverId, leaseMs)).find((database) => database.id === id)
  if (now?.isOverdue !== true) return outcome
  // Its process hangs, or its machine is gone and the server has not noticed. Without that connection the process can do
  // nothing more to this database, even if it continues.
  await breakLock(admin, databaseLockKey(builder, id))
  return dropTenantDatabase(builder, id)
}

const graceMs = 500

async function removeTemplates(builder: BuilderOptions): Promise<string[]> {
  const unfinished = await findUnfinishedTemplates(builder.admin, builder)
  return unfinished.length === 0 ? [] : removeUnfinishedTemplates(builder)
}

async function inspect(builder: BuilderOptions, logger: Logger): Promise<{ missing: string[]; unknown: string[] }> {
  const found = await inspectServer(builder)
  const lost: RecordedDatabase[] = []
  for (const database of found.missing) {
    // A ready one holds no data, and no tenant must get it.
    if (database.state === 'ready') await builder.records.retireUnusable(database.id)
    else lost.push(database)
  }
  const missing = lost.map(({ id }) => id)
  if (missing.length > 0) {
    logger.error({ databaseIds: missing }, 'Databases of tenants are not on the server: restore them from a backup')
  }
  if (found.unknown.length > 0) {
    logger.warn(
      { names: found.unknown },
      'Databases or roles of this installation are not in its catalog; they are not dropped',
    )
  }
  return { missing, unknown: [...found.unknown] }
}
