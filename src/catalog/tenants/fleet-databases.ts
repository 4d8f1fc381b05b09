import { TenancyError } from '../../core/errors/errors.js'
import type { FleetDatabase, FleetDatabases } from '../../core/fleet/fleet-check.js'
import type { SqlPool } from '../../core/sql-client.js'
import type { VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import { databaseColumns } from './tenant-databases.js'
import { findTenant } from './tenant-row.js'

const pageSize = 500

interface FleetRow extends VersionedDatabase {
  readonly tenantId: string
  readonly slug: string
}

/** Creates the catalog's list of tenants with their databases. */
export function createFleetDatabases(catalog: SqlPool): FleetDatabases {
  return {
    async tenantIds(refs) {
      const ids: string[] = []
      for (const ref of refs) {
        const { id, slug, databaseId } = await findTenant(catalog, ref)
        if (databaseId === null) {
          throw new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${slug}" has no database`)
        }
        ids.push(id)
      }
      return ids
    },

    async page(after, tenantIds) {
      const { rows } = await catalog.query<FleetRow>(
        `select t.id as "tenantId", t.slug, d.*
           from tenants t join (
             select ${databaseColumns}, schema_version::float8 as "schemaVersion" from tenant_databases
              where state in ('assigned', 'retired')
           ) as d on d.id = t.database_id
          where ($1::uuid is null or t.id > $1)
            and case when $2::uuid[] is null then t.status <> 'deleted' else t.id = any($2) end
          order by t.id limit $3`,
        [after ?? null, tenantIds ?? null, pageSize],
      )
      return rows.map(({ tenantId, slug, ...database }): FleetDatabase => ({
        tenant: { id: tenantId, slug },
        database,
      }))
    },
  }
}
