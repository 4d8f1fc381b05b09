import type { TenantDatabaseState } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'

/** A tenant database, as lists show it. */
export interface ListedDatabase {
  readonly id: string
  readonly name: string
  readonly state: TenantDatabaseState
  /** Null: it belongs to no tenant. */
  readonly tenantId: string | null
  readonly slug: string | null
  /** Number of the last schema file; -1: none; null: not known. */
  readonly schemaVersion: number | null
  readonly createdAt: Date
  readonly retiredAt: Date | null
  /** When a retired database is dropped. */
  readonly dropAfter: Date | null
}

/** Which databases a list shows. */
export interface DatabaseListOptions {
  readonly state?: TenantDatabaseState | undefined
  /** Id of the last one of the page before. */
  readonly after?: string | undefined
  readonly limit: number
}

/** Reads a page of the tenant databases, in the order of their ids, which is that of their creation. */
export async function listDatabases(
  catalog: SqlClient,
  { state, after, limit }: DatabaseListOptions,
): Promise<ListedDatabase[]> {
  const { rows } = await catalog.query<ListedDatabase>(
    `select database.id, database.name, state, tenants.id as "tenantId", slug,
       schema_version::float8 as "schemaVersion", database.created_at as "createdAt", retired_at as "retiredAt",
       drop_after as "dropAfter"
     from tenant_databases as database left join tenants on tenants.database_id = database.id
     where ($1::text is null or state = $1) and ($2::uuid is null or database.id > $2)
     order by database.id limit $3`,
    [state ?? null, after ?? null, limit],
  )
  return rows
}
