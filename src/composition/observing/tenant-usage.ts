import type { SqlClient } from '../../core/sql-client.js'

/** How much a tenant uses. */
export interface TenantUsage {
  /** Members, inactive ones included. */
  readonly members: number
  /** The most members it may have; null: no limit. */
  readonly maxUsers: number | null
  /** Size of its database on disk; null: it has none, or one that is about to be dropped. */
  readonly databaseBytes: number | null
  /** Connections to its database now, from every process. */
  readonly connections: number
}

/**
 * Reads how much a tenant uses, in one query.
 *
 * @param catalog on the server of the tenant's database
 */
export async function readTenantUsage(catalog: SqlClient, tenantId: string): Promise<TenantUsage | undefined> {
  // pg_database_size fails for a database that may not be connected to; a half-dropped one has no size.
  const { rows } = await catalog.query<TenantUsage>(
    `select (select count(*)::float8 from user_tenants where tenant_id = tenants.id) as members, max_users as "maxUsers",
       case when pg_database.datconnlimit <> -2 and (has_database_privilege(pg_database.oid, 'connect')
           or pg_has_role('pg_read_all_stats', 'usage'))
         then pg_database_size(pg_database.oid)::float8 end as "databaseBytes",
       (select count(*)::float8 from pg_stat_activity where datid = pg_database.oid) as connections
     from tenants left join tenant_databases as database on database.id = tenants.database_id
       left join pg_database on datname = database.name
     where tenants.id = $1`,
    [tenantId],
  )
  return rows[0]
}
