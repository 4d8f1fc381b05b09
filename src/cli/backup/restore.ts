import { countText } from '../../core/text.js'
import { open, readFile, stat } from 'node:fs/promises'
import type { Tenant } from '../../core/model.js'
import type { RestoreReport } from '../../index.js'
import { CliError } from '../cli-error.js'
import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { tenantShape } from '../shapes.js'
import { wholeNumber } from '../values.js'
import { showBackupProgress } from './backup-progress.js'

interface Input {
  readonly folder: string
  readonly tenant?: string
  readonly newTenant?: string
  readonly owner?: string
  readonly name?: string
  readonly identityFile?: string
  readonly allowOtherTenant?: boolean
  readonly allowUnsigned?: boolean
  readonly leaveOutUnknown?: boolean
  readonly keepDays?: number
}

export const restoreTenant = defineCommand<Input, RestoreReport>({
  name: 'restore',
  summary: 'Restore a backup beside the data of a tenant, and swap',
  description:
    'The backup goes into a new database, is compared with the archive, and takes the place of the tenant’s database in one ' +
    'transaction. What the tenant wrote after the backup is in the replaced database alone, which is kept for --keep-days: ' +
    '`tenant swap-back` brings it back. With --new-tenant nothing is replaced. Ctrl-C before the swap leaves the tenant as it is.',
  arguments: [{ name: 'folder', description: 'the folder of a backup, or the file of an export that was downloaded' }],
  options: [
    { flags: '--tenant TENANT', description: 'slug or id of the tenant whose data is replaced' },
    { flags: '--new-tenant SLUG', description: 'make a new tenant of the backup instead' },
    { flags: '--owner EMAIL|ID', description: 'owner of the new tenant' },
    { flags: '--name TEXT', description: 'display name of the new tenant (default: that of the backup)' },
    { flags: '--identity-file FILE', description: 'a file with the age identity of an encrypted backup' },
    {
      flags: '--keep-days N',
      description: 'days that the replaced database is kept (default: TENANT_SWAPPED_DAYS)',
      parse: wholeNumber(0, 3650),
    },
    { flags: '--allow-other-tenant', description: 'the backup is of another tenant, and that is meant' },
    {
      flags: '--allow-unsigned',
      description: 'the backup was made under another TENANT_SECRET; only from a place that nobody else writes to',
    },
    {
      flags: '--leave-out-unknown',
      description: 'restore without the tables, sequences and materialized views that are not in the schema files',
    },
  ],
  examples: [
    { command: 'tenant restore /backups/acme-2026-01-31 --tenant acme', says: 'Asks you to type acme' },
    { command: 'tenant restore acme.t2fb --tenant acme', says: 'An export that was downloaded' },
    {
      command: 'tenant restore /backups/acme-2026-01-31 --new-tenant acme-copy --owner dana@example.com',
      says: 'Beside it, as a tenant of its own',
    },
  ],
  json: {
    tenant: tenantShape,
    databaseId: 'string',
    replacedDatabaseId: 'string | null',
    keptUntil: 'date | null',
    takenAt: 'date',
    schemaVersion: 'number',
    pending: ['string'],
    tables: 'number',
    rows: 'number',
    skippedLargeObjects: 'number',
    lost: [{ object: 'string', kind: 'string', name: 'string', definition: 'string | null' }],
  },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { folder, tenant: named, newTenant: slug, owner, name, identityFile, ...how }) {
    if ((named === undefined) === (slug === undefined))
      throw new CliError('CLI_USAGE', 'Give either --tenant or --new-tenant')
    if (slug !== undefined && owner === undefined) throw new CliError('CLI_USAGE', '--new-tenant needs --owner')
    const isFile = await isArchiveFile(folder)
    const identity = identityFile === undefined ? undefined : await readIdentity(identityFile)
    const { tenancy, actor } = await context.open()
    const tenant = named === undefined ? undefined : await tenancy.getTenant(named)
    if (tenant !== undefined)
      await context.confirm({ typed: tenant.slug, consequences: consequencesOf(tenant, folder) })
    const newTenant =
      slug === undefined || owner === undefined ? undefined : { slug, name, owner: await resolveUser(tenancy, owner) }
    const onProgress = await showBackupProgress(context, 'Reading tables')
    const { signal } = context
    const from = isFile ? (await open(folder)).createReadStream() : folder
    return tenancy.restore({ from, tenant: tenant?.id, newTenant, identity, ...how, onProgress, signal, actor })
  },
  render(report, page) {
    const { tenant, tables, rows, takenAt, keptUntil, skippedLargeObjects, lost, schemaVersion, pending } = report
    page.line(
      `Restored ${countText(tables, 'table')}, ${countText(rows, 'row')} of ${takenAt.toISOString()} as ${tenant.slug}`,
    )
    if (skippedLargeObjects > 0)
      page.line(`${skippedLargeObjects} large objects (lo_create) are not in the backup`, 'yellow')
    for (const line of lostLines(lost)) page.line(line, 'yellow')
    for (const line of pendingLines(schemaVersion, pending)) page.line(line, 'yellow')
    if (keptUntil === null) return
    page.line(`The replaced database is kept until ${keptUntil.toISOString()}`)
    page.line(`Bring it back until then: tenants2fast tenant swap-back ${tenant.slug}`)
  },
})

function consequencesOf({ slug, name }: Tenant, folder: string): readonly string[] {
  return [
    `The data of ${slug} (${name}) is replaced by the backup in ${folder}.`,
    'What was written since the backup is in the replaced database alone, which is kept for a while: tenant swap-back.',
  ]
}

const maxLost = 20

function lostLines(lost: RestoreReport['lost']): string[] {
  if (lost.length === 0) return []
  const lines = lost.slice(0, maxLost).map(({ object, kind, name, definition }) => {
    const what = object === `${kind} ${name}` ? object : `${kind} ${name} of ${object}`
    return definition === null ? `  ${what}` : `  ${what}: ${definition}`
  })
  const more = lost.length - lines.length
  return [
    'Not in the schema files, and so not made again:',
    ...lines,
    ...(more > 0 ? [`  and ${more} more (--json has all)`] : []),
  ]
}

/** What becomes of a backup from before the newest migrations. */
function pendingLines(version: number, pending: readonly string[]): string[] {
  if (pending.length === 0) return []
  const names = pending.slice(0, maxLost).join(', ') + (pending.length > maxLost ? ', …' : '')
  return [
    `Its schema has the version ${version < 0 ? 'none' : version}; pending: ${names}`,
    'With TENANT_SCHEMA_BEHIND=migrate, its next request applies them again, as migrate up does: to keep it as it is, set it to serve, or take them out of the release',
  ]
}

/** Whether a backup is one file, as exports are; a folder is read where it stands. @throws {@link CliError} CLI_NOT_FOUND */
async function isArchiveFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new CliError('CLI_NOT_FOUND', `There is no folder or file ${path}`)
    return false
  }
}

/** The lines of an age identity file that are no comments. */
async function readIdentity(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new CliError('CLI_NOT_FOUND', `There is no file ${path}`, { cause: error })
    throw new CliError('CLI_USAGE', `The file ${path} cannot be read`, { cause: error })
  })
  return text.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#'))
}
