import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { TenantExport } from '../../core/backup/exports.js'

/** Reads a row of `tenant_exports` as a {@link TenantExport}. */
export const exportList = `
  id, tenant_id as "tenantId", state, requested_by as "requestedBy", cardinality(recipients) > 0 as "isEncrypted",
  created_at as "createdAt", started_at as "startedAt", finished_at as "finishedAt", expires_at as "expiresAt",
  taken_at as "takenAt", rows::float8 as rows, bytes::float8 as bytes, encode(sha256, 'hex') as sha256, error_code as error`

/** SQL condition: the export is there for its readers. One that runs is, whatever the clock says. */
export const isKept = `(expires_at > now() or held_until > now())`

/** A row, with the place of its archive. */
export interface ExportRow extends TenantExport {
  /** null: no process has taken it yet. */
  readonly holder: string | null
}

/** @throws {@link TenancyError} TENANCY_EXPORT_NOT_FOUND */
export async function findExport(client: SqlClient, tenantId: string, id: string): Promise<ExportRow> {
  const { rows } = await client.query<ExportRow>(
    `select ${exportList}, holder from tenant_exports where tenant_id = $1 and id = $2 and ${isKept}`,
    [tenantId, id],
  )
  return rows[0] ?? noExport(tenantId, id)
}

/** @throws {@link TenancyError} TENANCY_EXPORT_NOT_FOUND */
export function noExport(tenantId: string, id: string): never {
  throw new TenancyError('TENANCY_EXPORT_NOT_FOUND', `The tenant ${tenantId} has no export ${id}`)
}
