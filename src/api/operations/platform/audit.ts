import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../../operation.js'
import { auditEntry, auditFile, auditFilters, auditVerification, exportDescription } from '../audit.js'
import { defaultLimit, name, pageFrom, pageOf, pageQuery } from '../schemas.js'

const group = 'Platform: audit'
const access = { platform: true } as const

const entry = auditEntry
  .extend({
    tenantId: z.string().nullable().openapi({ description: 'null: the entry concerns the installation' }),
    operator: z.string().nullable().openapi({
      description: '`user@host` of a change at the command line; null: it was made elsewhere',
    }),
  })
  .openapi('PlatformAuditEntry')

const tenant = name.optional().openapi({
  description:
    'Id, also of a tenant that was erased, or slug: the log of that tenant. Default: that of the installation',
})

/** The audit logs of the installation and of tenants, for administrators of the installation. */
export const platformAuditOperations: readonly Operation[] = [
  defineOperation({
    id: 'listPlatformAuditEntries',
    ...{ method: 'get', path: '/platform/audit', group },
    summary: 'Lists who changed what in the installation, or in one tenant, from the oldest entry on',
    access,
    query: z.strictObject({ tenant, limit: pageQuery.limit, ...auditFilters }),
    answer: { status: 200, description: 'A page of entries', schema: pageOf('PlatformAuditEntries', entry) },
    async run({ query: { tenant: of = null, limit = defaultLimit, actor: by, ...filters }, tenancy }) {
      const found = await tenancy.audit.list({ ...filters, by, tenant: of, limit: limit + 1 })
      return pageFrom(found, limit, (last) => String(last.seq))
    },
  }),
  defineOperation({
    id: 'exportPlatformAuditEntries',
    ...{ method: 'get', path: '/platform/audit/export', group },
    summary: 'Sends all entries of the installation, or of one tenant, that are there now, one JSON document a line',
    description: exportDescription,
    access,
    query: z.strictObject({ tenant, ...auditFilters }),
    answer: { status: 200, description: 'Lines, each with an entry', schema: entry, stream: 'lines' },
    async run({ query: { tenant: of = null, actor: by, ...filters }, tenancy }) {
      const entries = await tenancy.audit.export({ ...filters, by, tenant: of })
      return { read: () => entries, headers: auditFile }
    },
  }),
  defineOperation({
    id: 'verifyPlatformAudit',
    ...{ method: 'post', path: '/platform/audit/verify', group },
    summary: 'Computes the hash of every entry of the installation, or of one tenant, again',
    access,
    query: z.strictObject({ tenant }),
    answer: { status: 200, description: 'The result', schema: auditVerification },
    run: ({ query: { tenant: of = null }, tenancy }) => tenancy.audit.verify({ tenant: of }),
  }),
]
