import { countText } from '../../core/text.js'
import type { BackupReport } from '../../index.js'
import { defineCommand } from '../command.js'
import { tenantArgument, type TenantInput } from '../tenant/tenant-argument.js'
import { oneOf } from '../values.js'
import { bytesText, showBackupProgress } from './backup-progress.js'

interface Input extends TenantInput {
  readonly to: string
  readonly encryptTo?: readonly string[]
  readonly method?: 'pg_dump' | 'copy'
  readonly allowDeleted?: boolean
}

interface Result extends BackupReport {
  readonly path: string
}

export const backupTenant = defineCommand<Input, Result>({
  name: 'backup',
  summary: 'Write the data of a tenant, as it is at one moment, to a new folder',
  description:
    'The tenant goes on working; its tables cannot be altered meanwhile. The folder gets its name when all is on disk: Ctrl-C leaves ' +
    'nothing under it. What a restore would refuse, such as a table that was made by hand, is named.',
  arguments: [tenantArgument],
  options: [
    { flags: '--to FOLDER', description: 'a folder that does not exist yet', isRequired: true },
    { flags: '--encrypt-to KEY', description: 'an age public key (age1…), again for more', isRepeatable: true },
    {
      flags: '--method METHOD',
      description: 'pg_dump or copy (default: pg_dump where it is found and fits the server)',
      parse: oneOf('pg_dump', 'copy'),
    },
    { flags: '--allow-deleted', description: 'also a tenant that is deleted and not purged yet' },
  ],
  examples: [
    { command: 'tenant backup acme --to /backups/acme-2026-01-31', says: 'To a folder' },
    { command: 'tenant backup acme --to acme --encrypt-to age1…', says: 'That only the holder of a key can read' },
  ],
  json: {
    tenant: { id: 'string', slug: 'string' },
    databaseId: 'string',
    method: "'pg_dump' | 'copy'",
    takenAt: 'date',
    schemaVersion: 'number',
    tables: 'number',
    rows: 'number',
    bytes: 'number',
    skippedLargeObjects: 'number',
    restoreProblems: ['string'],
    path: 'string',
  },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { tenant, to, encryptTo, method, allowDeleted }) {
    const { tenancy, actor } = await context.open()
    const onProgress = await showBackupProgress(context, 'Writing tables')
    const { signal } = context
    return {
      ...(await tenancy.backup({ tenant, to, encryptTo, method, allowDeleted, onProgress, signal, actor })),
      path: to,
    }
  },
  render({ tenant, tables, rows, bytes, path, takenAt, skippedLargeObjects, restoreProblems }, page) {
    page.line(
      `Wrote ${countText(tables, 'table')}, ${countText(rows, 'row')} (${bytesText(bytes)}) of ${tenant.slug} at ${takenAt.toISOString()} to ${path}`,
    )
    if (skippedLargeObjects > 0) page.line(`${skippedLargeObjects} large objects (lo_create) were left out`, 'yellow')
    if (restoreProblems.length === 0) return
    page.line('Warning: tenant restore will refuse this backup:', 'red')
    for (const problem of restoreProblems) page.line(`  ${problem}`, 'red')
    page.line('What is not in the schema files, it can leave out: --leave-out-unknown')
  },
})
