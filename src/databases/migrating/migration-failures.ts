import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import type { TenantDatabase } from '../../core/model.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import type { TenantSchema } from '../building/tenant-schema.js'

/** Another process works on the database, or the catalog itself is away: no failure of the tenant's. */
const passing: ReadonlySet<string> = new Set(['TENANCY_DATABASE_LOCK_TIMEOUT', 'TENANCY_CATALOG_UNAVAILABLE'])

/** What {@link recordFailure} needs. */
export interface FailureRecords {
  readonly records: Pick<TenantDatabaseRecords, 'recordFailure'>
  readonly schema: () => Promise<TenantSchema>
  readonly logger: Logger
}

/** Has the catalog remember why a tenant was not migrated. That it cannot changes nothing for the caller. */
export async function recordFailure(
  { records, schema, logger }: FailureRecords,
  { id }: TenantDatabase,
  error: unknown,
): Promise<void> {
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

/** Whether an error is about a file: its message names the file first, after the tenant. */
function isAbout({ message }: TenancyError, file: string): boolean {
  return [':', ',', ' '].some((end) => message.includes(`": ${file}${end}`))
}

/** Adds the tenant to an error: the code that raised it knows only the file. */
export function withTenantName(slug: string, error: unknown): TenancyError {
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
