import type { Logger } from '../core/logger.js'
import { type BuilderOptions, dropRoleAndDatabase, leaseMs } from './database-builder.js'
import { isNamedAfterId } from './database-names.js'

/** What a reconciliation did: ids of tenant databases. */
export interface Reconciliation {
  readonly dropped: readonly string[]
  /** Still there, with a row; the next reconciliation tries again. */
  readonly failed: readonly string[]
}

/** Drops builds whose process died, and ready databases of another schema version that nobody took for long. */
export async function reconcileDatabases(
  builder: BuilderOptions,
  templateVersion: string,
  outdatedAfterMs: number,
  logger: Logger,
): Promise<Reconciliation> {
  const { records, serverId } = builder
  await records.retireOutdated(serverId, templateVersion, outdatedAfterMs)
  const dropped: string[] = []
  const failed: string[] = []
  for (const id of await records.abandoned(serverId)) {
    try {
      if (await dropClaimed(builder, id)) dropped.push(id)
    } catch (error) {
      failed.push(id)
      logger.warn({ databaseId: id, err: error }, 'A tenant database could not be dropped')
    }
  }
  return { dropped, failed }
}

/**
 * Drops a retired database, or one whose build is dead. The row goes last, when database and role are gone.
 *
 * @returns false when it is neither, or somebody else is at it
 */
export async function dropClaimed({ records, admin, names, leaseOwner }: BuilderOptions, id: string): Promise<boolean> {
  const database = await records.claimForDrop(id, leaseOwner, leaseMs)
  if (!database) return false
  try {
    if (!isNamedAfterId(names, database)) throw new Error(`${database.name} is not a name of this installation`)
    await dropRoleAndDatabase(admin, database.name)
    await records.remove(id, leaseOwner)
    return true
  } catch (error) {
    await records.endLease(id, leaseOwner).catch(() => {})
    throw error
  }
}
