import type { Backups, RestoreInput, RestoreReport } from '../core/backup/backup.js'
import type { BackupCatalog, RestoreTarget, Swap } from '../core/backup/ports.js'
import { TenancyError } from '../core/errors/errors.js'
import type { Tenant } from '../core/model.js'
import { type ArchiveSource, openArchive } from './archive-source.js'
import type { BackupParts } from './create-backup.js'
import { decryptionWith } from './encryption.js'
import { contentOf, loadArchive } from './load-archive.js'
import type { Manifest } from './manifest.js'
import { isSameStructure, lostStructure } from './structure.js'

const refused = (problem: string) =>
  new TenancyError('TENANCY_RESTORE_REFUSED', `The backup is not restored: ${problem}`)

/** Makes the functions `restore` and `swapBack`. */
export function createRestore(parts: BackupParts): Pick<Backups, 'restore' | 'swapBack'> {
  const { catalog, databases, secret } = parts

  const cutOff: Swap['cutOff'] = (transaction, name) => databases.cutOff(transaction, name)
  const letIn: Swap['cutOff'] = (transaction, name) => databases.letIn(transaction, name)

  return {
    async restore(input) {
      const { from, signal, identity } = input
      signal?.throwIfAborted()
      await parts.checkBudget()
      const known = await findDestination(catalog, input)
      const archive = await openArchive(from, secret)
      try {
        const { manifest } = archive
        refuseForeign(archive, known, input)
        const schema = await databases.schemaAt(manifest.schema.version)
        refuseSchema(manifest, schema)
        const identities = identity === undefined ? [] : [identity].flat()
        if (manifest.isEncrypted && identities.length === 0)
          throw refused('it is encrypted: pass `identity` (--identity-file)')
        const decrypt = manifest.isEncrypted ? await decryptionWith(identities) : undefined
        return await databases.withTarget(manifest.schema.version, async (target) => {
          const structure = await target.structure()
          const leaveOutUnknown = input.leaveOutUnknown === true
          const { hasTable } = await target.fill(contentOf(manifest), { leaveOutUnknown }, (load) =>
            loadArchive(
              {
                ...{ archive, decrypt, pgFolder: parts.pgFolder, size: () => target.size() },
                ...{ onProgress: input.onProgress, signal },
              },
              load,
            ),
          )
          signal?.throwIfAborted()
          input.onProgress?.({
            ...{ phase: 'check', tablesDone: manifest.tables.length, tables: manifest.tables.length },
            bytes: manifest.parts.reduce((sum, { bytes }) => sum + bytes, 0),
          })
          // Foreign keys, triggers and policies that were off while rows came are there again.
          if (!isSameStructure(await target.structure(), structure))
            throw refused('its data changes the structure of a new database')
          signal?.throwIfAborted()
          const lost = lostStructure(manifest.structure, structure)
          const tables = manifest.tables.filter(hasTable)
          return assign(parts, input, known, target, { manifest, lost, tables, pending: schema.pending })
        })
      } finally {
        await archive.close()
      }
    },

    async swapBack({ tenant, keepDays = parts.keepDays, actor = null }) {
      const swapped = await catalog.swapBack({ tenant, keepDays, actor, cutOff, letIn })
      parts.onSwapped(swapped.tenant, swapped.replacedDatabaseId)
      return swapped.tenant
    },
  }
}

/** The tenant that is restored; undefined: a new one. */
async function findDestination(
  catalog: BackupCatalog,
  { tenant, newTenant }: RestoreInput,
): Promise<Tenant | undefined> {
  if (newTenant !== undefined) await catalog.checkNewTenant(newTenant)
  return tenant === undefined ? undefined : (await catalog.databaseOf(tenant)).tenant
}

function refuseForeign({ manifest, isSigned }: ArchiveSource, tenant: Tenant | undefined, input: RestoreInput): void {
  if (!isSigned && input.allowUnsigned !== true) {
    throw refused(
      'its manifest was changed, or another TENANT_SECRET has signed it: if you trust the place it comes from, pass allowUnsigned: true (--allow-unsigned)',
    )
  }
  if (tenant !== undefined && tenant.id !== manifest.tenant.id && input.allowOtherTenant !== true) {
    throw refused(
      `it is of the tenant ${JSON.stringify(manifest.tenant.slug)} (${manifest.tenant.id}): if that is meant, pass allowOtherTenant: true (--allow-other-tenant)`,
    )
  }
}

function refuseSchema({ schema }: Manifest, known: { readonly fingerprint: string; readonly newest: number }): void {
  if (schema.version > known.newest) {
    throw refused(
      `its schema has the version ${schema.version}, and this release knows ${known.newest}: use a newer release`,
    )
  }
  if (schema.fingerprint !== known.fingerprint) {
    throw refused(
      `its schema files up to ${schema.version} are not those of this release: one was edited (migrate accept), removed or added. ` +
        'Restore it with the release that has the files as they were',
    )
  }
}

async function assign(
  { catalog, databases, keepDays: defaultDays, onSwapped }: BackupParts,
  { newTenant, keepDays = defaultDays, actor = null }: RestoreInput,
  tenant: Tenant | undefined,
  next: RestoreTarget,
  {
    manifest,
    tables,
    ...found
  }: Pick<RestoreReport, 'lost' | 'pending'> & { readonly manifest: Manifest; readonly tables: Manifest['tables'] },
): Promise<RestoreReport> {
  const archive = {
    archive: {
      ...{ takenAt: manifest.takenAt, tenantId: manifest.tenant.id, databaseId: manifest.database.id },
      ...{ method: manifest.method, schemaVersion: manifest.schema.version },
    },
  }
  const report = {
    ...{ databaseId: next.id, takenAt: new Date(manifest.takenAt), schemaVersion: manifest.schema.version },
    ...{ tables: tables.length, rows: tables.reduce((sum, { rows }) => sum + rows, 0) },
    ...{ skippedLargeObjects: manifest.largeObjects, ...found },
  }
  if (newTenant !== undefined) {
    const { slug, name = manifest.tenant.name, owner } = newTenant
    const templateVersion = await databases.templateVersion()
    const made = await catalog.createFrom({ slug, name, owner, actor, next, templateVersion, archive })
    onSwapped(made, null)
    return { ...report, tenant: made, replacedDatabaseId: null, keptUntil: null }
  }
  if (tenant === undefined) throw new Error('neither a tenant nor a new one')
  const swap: Swap = {
    ...{ tenant, next, keepDays, actor, archive },
    cutOff: (transaction, name) => databases.cutOff(transaction, name),
  }
  const swapped = await catalog.swap(swap)
  onSwapped(swapped.tenant, tenant.databaseId)
  return { ...report, tenant: swapped.tenant, replacedDatabaseId: tenant.databaseId, keptUntil: swapped.keptUntil }
}
