import { setTimeout as sleep } from 'node:timers/promises'
import { TenancyError } from '../../core/errors/errors.js'
import { type DropOptions, dropTenantDatabase } from './drop-database.js'

const timeoutMs = 30_000

/**
 * Drops a tenant database that is due, or waits until another process has.
 *
 * @throws {@link TenancyError} TENANCY_TENANT_STATE_CONFLICT when it is in use or not due; nothing is dropped then
 * @throws {@link TenancyError} TENANCY_DATABASE_UNAVAILABLE when it could not be dropped within 30 s; the reconciler
 *   continues
 */
export async function dropDueDatabase(options: DropOptions, id: string): Promise<void> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const outcome = await dropTenantDatabase(options, id).catch((cause: unknown) => {
      throw notDroppedYet(id, cause)
    })
    if (outcome.kind === 'dropped') return
    const database = await options.records.find(id)
    if (!database) return
    if (outcome.kind === 'kept') {
      throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant database ${id} is in use or not due yet`)
    }
    if (Date.now() > deadline) throw notDroppedYet(id, undefined)
    await sleep(50)
  }
}

function notDroppedYet(id: string, cause: unknown): TenancyError {
  return new TenancyError(
    'TENANCY_DATABASE_UNAVAILABLE',
    `The tenant database ${id} could not be dropped now; it is dropped as soon as that is possible`,
    { cause },
  )
}
