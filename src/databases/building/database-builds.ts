import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import type { TenantDatabase } from '../../core/model.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { createBuildQueue } from './build-queue.js'
import { type BuildRequest, buildTenantDatabase } from './database-builder.js'
import type { ServerPreparation } from './server-preparation.js'
import { createStock } from './stock.js'

/** What {@link createDatabaseBuilds} needs. */
export interface DatabaseBuildsOptions {
  readonly preparation: ServerPreparation
  /** Ready databases to keep in stock; 0: no stock. */
  readonly readyTarget: number
  readonly maxConcurrentBuilds: number
  /** Runs before the stock is filled: drops what dead processes left. */
  readonly reconcile: () => Promise<unknown>
  readonly logger: Logger
}

/** Builds databases for callers, who go first, and for the stock. */
export interface DatabaseBuilds {
  /**
   * Builds one database for a caller.
   * @throws {@link TenancyError} TENANCY_CLOSED, TENANCY_DATABASE_BUILD_FAILED, TENANCY_DATABASE_SCHEMA_FAILED,
   *   TENANCY_DATABASE_SCHEMA_INVALID
   */
  create(reservedFor?: string): Promise<TenantDatabase>
  /** Builds until the stock is full; rejects with the first error. */
  fillStock(): Promise<void>
  /** Fills the stock in the background. */
  refillStock(): void
  /** Refuses further callers. */
  refuse(): void
  /** Waits for the builds under way; the stock begins no further one. */
  close(): Promise<void>
}

/**
 * Codes of a template that is gone, whose drop has begun, or that cannot be copied. The last one is an internal error, said of a
 * template with an outdated collation version: another process may have made a new template since.
 */
const templateLost = [sqlStates.invalidCatalogName, sqlStates.objectNotInPrerequisiteState, sqlStates.internalError]

/** The builds of one server. */
export function createDatabaseBuilds(options: DatabaseBuildsOptions): DatabaseBuilds {
  const { preparation, readyTarget, maxConcurrentBuilds, reconcile, logger } = options
  const queue = createBuildQueue(maxConcurrentBuilds)
  let isRefusing = false

  const build = async (
    request: Pick<BuildRequest, 'reservedFor' | 'stockTarget'>,
  ): Promise<TenantDatabase | undefined> => {
    for (let attempt = 1; ; attempt += 1) {
      const { builder, schema, template } = await preparation.prepared()
      try {
        const { version: templateVersion, latest } = schema
        return await buildTenantDatabase(builder, { ...request, template, templateVersion, schema: latest })
      } catch (error) {
        // A process with another version of the schema may have dropped this one's template: make it again, once.
        if (attempt > 1 || !hasSqlState(findTenancyError(error)?.cause, ...templateLost)) throw error
        preparation.forgetTemplate()
      }
    }
  }

  const stock = createStock({
    reconcile,
    workers: maxConcurrentBuilds,
    buildOne: async () => {
      if (readyTarget === 0) return false
      return (await queue.run(() => build({ stockTarget: readyTarget }), false)) !== undefined
    },
    logger,
  })

  return {
    async create(reservedFor) {
      if (isRefusing) {
        throw new TenancyError('TENANCY_CLOSED', 'No tenant database is built while the service shuts down')
      }
      const database = await queue.run(() => build({ reservedFor }), true)
      if (!database) throw new TenancyError('TENANCY_DATABASE_BUILD_FAILED', 'The catalog refused the build')
      return database
    },
    fillStock: () => stock.fill(),
    refillStock: () => stock.refill(),
    refuse() {
      isRefusing = true
    },
    async close() {
      await stock.close()
      await queue.drained()
    },
  }
}
