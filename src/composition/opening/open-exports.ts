import { access, constants, mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { encryptionTo } from '../../backup/encryption.js'
import { createExportRunner } from '../../backup/exports/export-runner.js'
import { createFolderStorage } from '../../backup/exports/folder-storage.js'
import { createExportJobs } from '../../catalog/exports/export-jobs.js'
import { createTenantExports } from '../../catalog/exports/tenant-exports.js'
import type { Backups } from '../../core/backup/backup.js'
import type { ExportStorage, TenantExports } from '../../core/backup/exports.js'
import { TenancyError } from '../../core/errors/errors.js'
import { deriveLockKey } from '../../postgres/advisory-lock.js'
import type { OpenCatalog } from './open-catalog.js'
import type { Opening } from './opening.js'

/** Exports of tenants, as far as other parts need them. */
export interface OpenExports {
  readonly functions: TenantExports
  /** Removes archives of tenants that are gone, in the background. */
  readonly tenantPurged: () => void
}

/**
 * Makes the functions for exports of tenants and, in a process that serves, starts to work on them.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: the folder cannot be written to; TENANCY_CONFIG_PEER_MISSING,
 *   TENANCY_REQUEST_INVALID: `encryptTo`
 */
export async function openExports(
  { exports: options, closing, logger, purpose }: Opening,
  { catalog, server, records }: OpenCatalog,
  { backup }: Pick<Backups, 'backup'>,
): Promise<OpenExports> {
  if (options === undefined) return { functions: disabled, tenantPurged() {} }
  const recipients = options.encryptTo === undefined ? [] : [options.encryptTo].flat()
  if (recipients.length > 0) await checkRecipients(recipients)
  // A folder of this installation alone: whoever cleans up there removes nothing of another one.
  const storage =
    options.storage ?? (await openFolder(join(resolve(options.folder ?? ''), await records.installationId())))
  const runner =
    purpose === 'serve'
      ? createExportRunner({
          ...{ storage, backup, logger },
          jobs: createExportJobs(catalog, deriveLockKey(server.secret, 'exports of tenants')),
          maxRunning: options.maxRunning ?? 2,
          maxBytes: options.maxBytes ?? Infinity,
        })
      : undefined
  if (runner !== undefined) closing.add(() => runner.close())
  return {
    functions: createTenantExports({
      ...{ catalog, storage, recipients, checkRecipients },
      expiresInSeconds: options.expiresInSeconds ?? 86_400,
      onStarted: () => runner?.wake(),
      onDeleted: (id) => runner?.cancel(id),
    }),
    tenantPurged: () => void runner?.sweep().catch(() => {}),
  }
}

const checkRecipients = async (given: readonly string[]) => void (await encryptionTo(given))

async function openFolder(folder: string): Promise<ExportStorage> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await access(folder, constants.R_OK | constants.W_OK)
  } catch (cause) {
    const message = `exports.folder: ${JSON.stringify(folder)} cannot be written to`
    throw new TenancyError('TENANCY_CONFIG_INVALID', message, { cause })
  }
  return createFolderStorage(folder)
}

const refuse = () => Promise.reject(new TenancyError('TENANCY_EXPORT_DISABLED'))

const disabled: TenantExports = {
  startTenantExport: refuse,
  listTenantExports: refuse,
  getTenantExport: refuse,
  deleteTenantExport: refuse,
  openTenantExport: refuse,
}
