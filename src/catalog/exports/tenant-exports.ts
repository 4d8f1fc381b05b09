import { AsyncLocalStorage } from 'node:async_hooks'
import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import { archiveKey, type CheckRecipients } from '../../core/backup/export-ports.js'
import type {
  ExportStorage,
  ListTenantExportsInput,
  StartTenantExportInput,
  TenantExport,
  TenantExportInput,
  TenantExports,
} from '../../core/backup/exports.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlPool } from '../../core/sql-client.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { commitChange } from '../access/lookup.js'
import { createChange } from '../change.js'
import { actor, parse, schemaOf, snapshotOf, tenant } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder } from '../transaction.js'
import { type ExportRow, exportList, findExport, isKept, noExport } from './export-row.js'

/** Most archives of a tenant that are kept at a time. */
const maxKept = 5
const minSeconds = 60

const exportId = z.guid('is not the id of an export (a UUID)').transform((id) => id.toLowerCase())
const exportInput = schemaOf<TenantExportInput>()(z.strictObject({ tenant, export: exportId, actor }))
const listInput = schemaOf<ListTenantExportsInput>()(
  z.strictObject({ tenant, after: exportId.optional(), limit: z.int().min(1).max(1000).default(100) }),
)

/** One public key of age; `checkRecipients` reads it. */
export const recipient = z
  .string('must be text')
  .max(5000, 'is too long')
  .regex(/^age1[0-9a-z]+$/, 'is not an age public key (age1…)')

/** What {@link createTenantExports} needs. */
export interface TenantExportsParts {
  readonly catalog: SqlPool
  readonly storage: ExportStorage
  /** Those of the installation. */
  readonly recipients: readonly string[]
  readonly expiresInSeconds: number
  readonly checkRecipients: CheckRecipients
  /** Called after an export was started. */
  readonly onStarted: () => void
  /** Called after an export was deleted. */
  readonly onDeleted: (id: string) => void
}

// The row of the tenant is locked: nobody starts another one meanwhile.
const factsQuery = `
  select exists (select from tenant_exports where tenant_id = $1 and state in ('queued', 'running')) as "isUnderWay",
    (select count(*)::integer from tenant_exports where tenant_id = $1 and state = 'ready' and expires_at > now()) as kept,
    exists (
      select from tenants as tenant join tenant_databases as database on database.id = tenant.database_id
      where tenant.id = $1 and case when tenant.status = 'deleted'
        then database.state = 'retired' and database.drop_after > now() else database.state = 'assigned' end
    ) as "hasDatabase"`

interface Facts {
  readonly isUnderWay: boolean
  readonly kept: number
  readonly hasDatabase: boolean
}

/** Creates the functions for exports of tenants. Another part does the work: see `createExportRunner`. */
export function createTenantExports(parts: TenantExportsParts): TenantExports {
  const { catalog, storage, checkRecipients } = parts
  const change = createChange(catalog)
  const startInput = schemaOf<StartTenantExportInput>()(
    z.strictObject({
      tenant,
      encryptTo: z.array(recipient).min(1).max(10).readonly().optional(),
      expiresInSeconds: z
        .int()
        .min(minSeconds, `must be at least ${minSeconds}`)
        .max(parts.expiresInSeconds, `must be at most ${parts.expiresInSeconds}`)
        .optional(),
      actor,
    }),
  )
  const start = change.ofTenant(startInput, async (client, input, scope) => {
    const { rows: facts } = await client.query<Facts>(factsQuery, [scope.tenantId])
    checkFacts(facts[0], scope.tenantId)
    const id = uuidv7()
    const recipients = input.encryptTo ?? parts.recipients
    const keepSeconds = input.expiresInSeconds ?? parts.expiresInSeconds
    const [{ rows }] = await inOrder([
      client.query<TenantExport>(
        `insert into tenant_exports (id, tenant_id, requested_by, recipients, keep_seconds, expires_at)
         values ($1, $2, (select id from users where id = $3), $4, $5::integer, now() + make_interval(secs => $5::integer))
         returning ${exportList}`,
        [id, scope.tenantId, scope.actorId, recipients, keepSeconds],
      ),
      commitChange(client, scope, 'export.start', `export:${id}`, null, {
        ...{ isEncrypted: recipients.length > 0, expiresInSeconds: keepSeconds },
      }),
    ])
    return rows[0] as TenantExport
  })
  const remove = change.ofTenant(exportInput, async (client, { export: id }, scope) => {
    const { rows } = await client.query<Pick<ExportRow, 'state' | 'holder'>>(
      `delete from tenant_exports where tenant_id = $1 and id = $2 and ${isKept} returning state, holder`,
      [scope.tenantId, id],
    )
    const [gone] = rows
    if (gone === undefined) return noExport(scope.tenantId, id)
    await commitChange(client, scope, 'export.delete', `export:${id}`, { state: gone.state }, null)
    return { id, ...gone }
  })

  return {
    async startTenantExport(input) {
      const given = snapshotOf(input)
      const { encryptTo } = parse(startInput, given)
      if (encryptTo !== undefined) await checkRecipients(encryptTo)
      const started = await start(given)
      parts.onStarted()
      return started
    },
    async listTenantExports(input) {
      const { tenant: ref, after, limit } = parse(listInput, input)
      const { id } = await findTenant(catalog, ref)
      const { rows } = await catalog.query<TenantExport>(
        `select ${exportList} from tenant_exports
         where tenant_id = $1 and ($2::uuid is null or id > $2) and ${isKept} order by id limit $3`,
        [id, after ?? null, limit],
      )
      return rows
    },
    async getTenantExport(input) {
      const { tenant: ref, export: id } = parse(exportInput, input)
      return shown(await findExport(catalog, (await findTenant(catalog, ref)).id, id))
    },
    async deleteTenantExport(input) {
      const { id, holder } = await remove(input)
      parts.onDeleted(id)
      // If this fails, whoever cleans up removes it.
      if (holder !== null) await storage.remove(archiveKey({ id, holder })).catch(() => {})
    },
    async openTenantExport(input) {
      const { tenant: ref, export: id, actor: by = null } = parse(exportInput, input)
      const { id: tenantId } = await findTenant(catalog, ref)
      const { holder, ...found } = await findExport(catalog, tenantId, id)
      const { bytes, sha256 } = found
      if (found.state !== 'ready' || holder === null || bytes === null || sha256 === null) {
        throw new TenancyError('TENANCY_EXPORT_NOT_READY', `The export ${id} is ${found.state}`)
      }
      const key = archiveKey({ id, holder })
      const stored = await storage.size(key).catch((cause: unknown) => unavailable(id, 'it cannot be read', cause))
      if (stored !== bytes) unavailable(id, stored === undefined ? 'it is not there' : `it has ${stored} bytes`)
      // The archive is read when somebody takes it, which may be outside of the request that its entry tells of.
      const inRequest = AsyncLocalStorage.snapshot()
      return {
        ...{ export: found, bytes, sha256 },
        async *read(range = { start: 0, end: bytes - 1 }) {
          await inRequest(recordDownload, catalog, { id, tenantId, actor: by })
          yield* storage.read(key, range)
        },
      }
    },
  }
}

const shown = ({ holder: _holder, ...found }: ExportRow): TenantExport => found

function checkFacts(facts: Facts | undefined, tenantId: string): void {
  if (facts?.hasDatabase !== true) {
    const message = `The tenant ${tenantId} has no database in use, and none that is still kept`
    throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', message)
  }
  if (facts.isUnderWay) throw new TenancyError('TENANCY_EXPORT_RUNNING')
  if (facts.kept >= maxKept) {
    throw new TenancyError('TENANCY_EXPORT_LIMIT_REACHED', `The tenant ${tenantId} has ${maxKept} archives: delete one`)
  }
}

function unavailable(id: string, problem: string, cause?: unknown): never {
  throw new TenancyError('TENANCY_EXPORT_UNAVAILABLE', `The archive of the export ${id} cannot be read: ${problem}`, {
    ...(cause === undefined ? {} : { cause }),
  })
}

/** A download in a thousand parts leaves one entry. */
async function recordDownload(
  catalog: SqlPool,
  { id, tenantId, actor: by }: { readonly id: string; readonly tenantId: string; readonly actor: string | null },
): Promise<void> {
  const { rows } = await queryAudited<{ isThere: boolean }>(
    catalog,
    `with seen as (select downloaded_by, downloaded_at from tenant_exports where id = $1 for update),
     counted as (
       update tenant_exports set downloaded_by = $3::uuid, downloaded_at = now() from seen
       where id = $1 and (seen.downloaded_at is null or seen.downloaded_at < now() - interval '1 hour'
         or seen.downloaded_by is distinct from $3::uuid)
       returning id
     ), written as (
       insert into audit_log (actor_id, tenant_id, action, subject)
         select $3::uuid, $2::uuid, 'export.download', 'export:' || id from counted
     )
     select exists (select from seen) as "isThere"`,
    [id, tenantId, by],
  )
  if (rows[0]?.isThere !== true) noExport(tenantId, id)
}
