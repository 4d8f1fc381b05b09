import type { SqlClient } from '../../core/sql-client.js'

/** Something that an operator did by the command line, and that no other function of the catalog records. */
export interface OperatorEntry {
  /** Such as `database.shell`. */
  readonly action: string
  /** Such as `database:<id>`. */
  readonly subject: string
  /** The tenant in whose chain it is. Default: the installation's. */
  readonly tenantId?: string
  readonly after?: object
}

/** Writes an entry into the audit log, without an actor: the connection says who the operator is. */
export async function recordOperatorEntry(catalog: SqlClient, entry: OperatorEntry): Promise<void> {
  const { action, subject, tenantId = null, after = null } = entry
  await catalog.query('insert into audit_log (tenant_id, action, subject, after) values ($1, $2, $3, $4)', [
    ...[tenantId, action, subject, after],
  ])
}
