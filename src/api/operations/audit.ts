import { z } from '@hono/zod-openapi'
import { requireTenant } from '../../http/require-user.js'
import type { Tenancy } from '../../tenancy-interface.js'
import { defineOperation, type Operation } from '../operation.js'
import {
  defaultLimit,
  impersonation,
  moment,
  name,
  pageFrom,
  pageOf,
  pageQuery,
  tenantParams,
  userId,
} from './schemas.js'

const group = 'Audit'
/** Of an export, for browsers. */
export const auditFile = { 'content-disposition': 'attachment; filename="audit.ndjson"' }
export const exportDescription =
  'If it cannot be read to the end, the connection is cut: an answer without its end is not the whole. `after` with the last `seq` goes on.'
const read = { permission: 'audit:read' }

// Not the operator of a change at the command line: names of accounts and machines are the installation's own.
export const auditEntry = z
  .object({
    seq: z.number().int().openapi({ description: 'Place in the tenant’s chain: 1, 2, 3, …' }),
    at: moment,
    actorId: z.string().nullable().openapi({
      description: 'Id of the user or service account; null: the operator of the installation',
    }),
    apiKey: z.string().nullable().openapi({ description: 'Id of the API key that the change came with; null: none' }),
    requestId: z.string().nullable().openapi({ description: 'Id of the request; null: no request made the change' }),
    address: z.string().nullable().openapi({
      description:
        'Network address of the client; null: not known, erased with the user, or of the installation’s administrators',
    }),
    isPlatform: z.boolean().openapi({ description: 'Whether an administrator of the installation made the change' }),
    impersonation: z.object({ id: z.guid(), administrator: userId }).nullable().openapi({
      description: 'The administrator of the installation who acted as the actor; null: nobody did',
    }),
    action: z.string().openapi({ example: 'role.grant' }),
    subject: z.string().nullable().openapi({ description: 'What was changed', example: 'role:<id>' }),
    before: z.unknown().openapi({ description: 'What it was; null: nothing' }),
    after: z.unknown().openapi({ description: 'What it is since; null: nothing' }),
  })
  .openapi('AuditEntry')

const queryMoment = z.iso
  .datetime({ offset: true, error: 'must be a moment such as 2030-01-31T12:00:00Z' })
  .transform((text) => new Date(text))
  .openapi({ type: 'string', format: 'date-time' })

/** Filters of the query, of a list and of an export. */
export const auditFilters = {
  after: z
    .string()
    .regex(/^(0|[1-9]\d{0,14})$/, 'must be the `seq` of an entry')
    .transform(Number)
    .optional()
    .openapi({
      type: 'string',
      description: '`next` of the page before, or the `seq` of an entry. Default: from the start',
    }),
  action: name.optional().openapi({ description: 'What the action begins with', example: 'role.' }),
  actor: userId.optional(),
  from: queryMoment.optional().openapi({ description: 'The earliest moment' }),
  to: queryMoment.optional().openapi({ description: 'The moment before which it was' }),
}

export const auditVerification = z
  .object({
    isIntact: z.boolean(),
    entries: z.number().int(),
    problems: z
      .array(
        z.object({
          seq: z.number().int().openapi({ description: 'Place of the first bad entry' }),
          kind: z.enum(['altered', 'missing', 'truncated', 'unknown', 'head-missing']),
        }),
      )
      .readonly(),
  })
  .openapi('AuditVerification')

/** Where the installation's administrators sit is none of a tenant's business, but that they acted. */
function withoutStaff<Entry extends Pick<z.infer<typeof auditEntry>, 'isPlatform' | 'impersonation' | 'address'>>(
  found: Entry,
) {
  return found.isPlatform || found.impersonation !== null ? { ...found, address: null } : found
}

async function* allWithoutStaff(entries: Awaited<ReturnType<Tenancy['audit']['export']>>) {
  for await (const found of entries) yield withoutStaff(found)
}

/** The tenant's audit log, and who of the installation acted in the tenant. */
export const auditOperations: readonly Operation[] = [
  defineOperation({
    id: 'listAuditEntries',
    ...{ method: 'get', path: '/tenants/{tenant}/audit', group },
    summary: 'Lists who changed what, from the oldest entry on',
    access: read,
    params: tenantParams,
    query: z.strictObject({ limit: pageQuery.limit, ...auditFilters }),
    whileImpersonating: true,
    answer: { status: 200, description: 'A page of entries', schema: pageOf('AuditEntries', auditEntry) },
    async run({ query: { limit = defaultLimit, actor: by, ...filters }, context, tenancy }) {
      const found = await tenancy.audit.list({
        ...{ ...filters, by, tenant: requireTenant(context).id, limit: limit + 1 },
      })
      return pageFrom(found.map(withoutStaff), limit, (last) => String(last.seq))
    },
  }),
  defineOperation({
    id: 'exportAuditEntries',
    ...{ method: 'get', path: '/tenants/{tenant}/audit/export', group },
    summary: 'Sends all entries that are there now, one JSON document a line',
    description: exportDescription,
    access: read,
    params: tenantParams,
    query: z.strictObject(auditFilters),
    whileImpersonating: true,
    answer: { status: 200, description: 'Lines, each with an entry', schema: auditEntry, stream: 'lines' },
    async run({ query: { actor: by, ...filters }, context, tenancy }) {
      const entries = await tenancy.audit.export({ ...filters, by, tenant: requireTenant(context).id })
      return { read: () => allWithoutStaff(entries), headers: auditFile }
    },
  }),
  defineOperation({
    id: 'verifyAudit',
    ...{ method: 'post', path: '/tenants/{tenant}/audit/verify', group },
    summary: 'Computes the hash of every entry of the tenant again and says whether one was changed or removed',
    access: read,
    params: tenantParams,
    whileImpersonating: true,
    answer: { status: 200, description: 'The result', schema: auditVerification },
    run: ({ context, tenancy }) => tenancy.audit.verify({ tenant: requireTenant(context).id }),
  }),
  defineOperation({
    id: 'listImpersonations',
    ...{ method: 'get', path: '/tenants/{tenant}/impersonations', group },
    summary: 'Lists which administrators of the installation act, or acted, as a member, and why; the newest first',
    access: read,
    params: tenantParams,
    query: z.strictObject({ ...pageQuery, after: z.guid('must be the `next` of a page').optional() }),
    answer: { status: 200, description: 'A page', schema: pageOf('Impersonations', impersonation) },
    async run({ context, query: { after, limit = defaultLimit }, tenancy }) {
      const tenant = requireTenant(context).id
      return pageFrom(await tenancy.listImpersonations({ tenant, after, limit: limit + 1 }), limit, ({ id }) => id)
    },
  }),
]
