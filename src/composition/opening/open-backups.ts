import { createBackups } from '../../backup/create-backups.js'
import { packageVersion } from '../../core/package-version.js'
import { createTenantOf } from '../../catalog/tenants/adopted-databases.js'
import { createTenantBackups } from '../../catalog/tenants/tenant-backups.js'
import type { DatabaseAdoption } from '../../core/backup/adopt.js'
import type { Backups } from '../../core/backup/backup.js'
import { TenancyError } from '../../core/errors/errors.js'
import { readStructure } from '../../fleet/drift/read-structure.js'
import { structureSettings } from '../../fleet/drift/structure-sql.js'
import { checkBudget } from './check-budget.js'
import type { OpenCatalog } from './open-catalog.js'
import type { OpenDatabases } from './open-databases.js'
import type { OpenRequestPath } from './open-request-path.js'
import type { Opening } from './opening.js'

/** Connections that one backup or restore has beside those of builds: a lock, both ends, `pg_dump`. */
const connections = 4

/** Makes the functions that back up and restore tenants. Waits for nothing; closing ends what is under way. */
export function openBackups(
  { config, closing }: Pick<Opening, 'config' | 'closing'>,
  { catalog, server, records }: OpenCatalog,
  { databases, scheduler }: OpenDatabases,
  { cache }: Pick<OpenRequestPath, 'cache'>,
): Backups & DatabaseAdoption {
  const running = new Set<Promise<unknown>>()
  const isClosing = new AbortController()
  closing.add(async () => {
    isClosing.abort(new TenancyError('TENANCY_CLOSED'))
    await Promise.allSettled(running)
  })
  const backups = createBackups({
    catalog: createTenantBackups(catalog, records),
    databases: {
      ...databases.forBackups({ settings: structureSettings, read: (inspected) => readStructure(inspected) }),
      templateVersion: () => databases.templateVersion(),
    },
    installationId: () => records.installationId(),
    secret: server.secret,
    version: packageVersion(),
    pgFolder: config.pgBinDir,
    keepDays: config.swappedDays,
    checkBudget: () => checkBudget(catalog, config, connections),
    onSwapped(tenant, replacedDatabaseId) {
      // This process does not wait for the news.
      cache.invalidate(tenant.id)
      if (replacedDatabaseId !== null) scheduler.disconnect(replacedDatabaseId)
    },
  })

  const tracked = async <Result>(
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> => {
    isClosing.signal.throwIfAborted()
    const run = work(signal === undefined ? isClosing.signal : AbortSignal.any([signal, isClosing.signal]))
    running.add(run)
    try {
      return await run
    } finally {
      running.delete(run)
    }
  }
  return {
    backup: (input) => tracked(input.signal, (signal) => backups.backup({ ...input, signal })),
    restore: (input) => tracked(input.signal, (signal) => backups.restore({ ...input, signal })),
    swapBack: (input) => tracked(undefined, () => backups.swapBack(input)),
    adoptDatabase: (input) =>
      tracked(undefined, async () => {
        const tenantBackups = createTenantBackups(catalog, records)
        await tenantBackups.checkNewTenant(input)
        const tenant = await createTenantOf(catalog, input, await databases.prepareAdoption(input))
        cache.invalidate(input.owner)
        return tenant
      }),
  }
}
