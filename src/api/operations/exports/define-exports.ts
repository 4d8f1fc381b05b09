import { z } from '@hono/zod-openapi'
import type { Tenancy } from '../../../tenancy-interface.js'
import { defineOperation, type Operation, type OperationAccess, type OperationCall } from '../../operation.js'
import { sendFile } from '../../serving/byte-range.js'
import { findMade } from '../../serving/find-made.js'
import { defaultLimit, moment, momentOrNull, pageFrom, pageOf, pageQuery, tenantParams, userId } from '../schemas.js'

const countOrNull = z.number().int().nullable()

const tenantExport = z
  .object({
    id: z.guid(),
    state: z.enum(['queued', 'running', 'ready', 'failed']),
    requestedBy: userId.nullable(),
    isEncrypted: z.boolean(),
    createdAt: moment,
    startedAt: momentOrNull,
    finishedAt: momentOrNull,
    expiresAt: moment.openapi({ description: 'Export and archive are removed then; counted from the end of the work' }),
    takenAt: momentOrNull.openapi({ description: 'The moment that the data is of' }),
    rows: countOrNull,
    bytes: countOrNull.openapi({ description: 'Of the archive' }),
    sha256: z.string().nullable().openapi({ description: 'Of the archive, in hex' }),
    error: z.string().nullable().openapi({ description: 'The code of docs/errors.md; null: none' }),
  })
  .openapi('TenantExport')

const exportParams = tenantParams.extend({ export: z.guid('must be a UUID').openapi({ format: 'uuid' }) })
const maxSeconds = 2_592_000

/** Who asks, for one of the two sides. */
export interface ExportSide {
  /** `/tenants/{tenant}`, `/platform/tenants/{tenant}`. */
  readonly path: string
  readonly access: OperationAccess
  readonly group: string
  /** Of the names of operations: `startExport` becomes `startPlatformExport`. */
  readonly prefix: string
  /** Tenant and actor of a call. */
  readonly scopeOf: (call: OperationCall<{ readonly tenant: string }, unknown, unknown>) => {
    readonly tenant: string
    readonly actor: string
  }
}

/** The operations for exports of a tenant, for its Owners or for administrators of the installation. */
export function defineExports({ path: above, access, group, prefix, scopeOf }: ExportSide): readonly Operation[] {
  const path = `${above}/exports`
  const one = `${path}/{export}`
  const inputOf = (call: OperationCall<z.output<typeof exportParams>, unknown, unknown>) => ({
    ...scopeOf(call),
    export: call.params.export,
  })
  return [
    defineOperation({
      id: `start${prefix}Export`,
      ...{ method: 'post', path, group, access },
      summary: 'Starts an export: a job whose result is a backup of the tenant',
      description: 'Read the export until its state is `ready`, then its archive.',
      params: tenantParams,
      body: z
        .strictObject({
          encryptTo: z
            .array(
              z
                .string()
                .max(5000)
                .regex(/^age1[0-9a-z]+$/, 'must be a public key of age'),
            )
            .min(1)
            .max(10)
            .readonly()
            .optional()
            .openapi({
              description: 'Public keys of age (`age1…`). Default: those of the installation, if it has any',
            }),
          expiresInSeconds: z.int().min(60).max(maxSeconds).optional().openapi({
            description: 'How long the archive is kept, at most what the installation allows. Default: that',
          }),
        })
        .openapi('NewTenantExport'),
      answer: { status: 201, description: 'The export', schema: tenantExport },
      refusals: [409],
      recovery: {
        action: 'export.start',
        find: (call, lost) =>
          findMade(lost, (page) => call.tenancy.listTenantExports({ ...page, tenant: scopeOf(call).tenant })),
      },
      run: (call) => call.tenancy.startTenantExport({ ...call.body, ...scopeOf(call) }),
    }),
    defineOperation({
      id: `list${prefix}Exports`,
      ...{ method: 'get', path, group, access },
      summary: 'Lists exports that are under way or kept, in the order in which they were started',
      params: tenantParams,
      query: z.strictObject({ ...pageQuery, after: z.guid('must be the `next` of a page').optional() }),
      answer: { status: 200, description: 'A page of exports', schema: pageOf('TenantExports', tenantExport) },
      async run(call) {
        const { limit = defaultLimit, after } = call.query
        const { tenant } = scopeOf(call)
        const found = await call.tenancy.listTenantExports({ tenant, after, limit: limit + 1 })
        return pageFrom(found, limit, ({ id }) => id)
      },
    }),
    defineOperation({
      id: `get${prefix}Export`,
      ...{ method: 'get', path: one, group, access },
      summary: 'Reads an export: how far it is',
      params: exportParams,
      answer: { status: 200, description: 'The export', schema: tenantExport },
      run: (call) => call.tenancy.getTenantExport(inputOf(call)),
    }),
    defineOperation({
      id: `download${prefix}Export`,
      ...{ method: 'get', path: `${one}/archive`, group, access },
      summary: 'Sends the archive of an export that is ready, or a part of it',
      description:
        'A download that broke off goes on with `Range` and, as `If-Range`, the `ETag` of its first part. The `ETag` is the SHA-256 of ' +
        'the archive.',
      params: exportParams,
      answer: { status: 200, description: 'The archive', stream: 'bytes' },
      ...{ takesRange: true, refusals: [409] },
      async run(call) {
        const input = inputOf(call)
        const archive: Awaited<ReturnType<Tenancy['openTenantExport']>> = await call.tenancy.openTenantExport(input)
        return sendFile(call.range, {
          ...{ bytes: archive.bytes, sha256: archive.sha256, name: `export-${archive.export.id}.t2fb` },
          read: (range) => archive.read(range),
        })
      },
    }),
    defineOperation({
      id: `delete${prefix}Export`,
      ...{ method: 'delete', path: one, group, access },
      summary: 'Cancels an export, or deletes its archive',
      params: exportParams,
      answer: { status: 204, description: 'Cancelled or deleted' },
      async run(call) {
        await call.tenancy.deleteTenantExport(inputOf(call))
      },
    }),
  ]
}
