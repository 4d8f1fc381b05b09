import type { SqlPool } from '../../core/sql-client.js'
import type { FleetCatalog, FleetSelection, NamedTenant } from '../../core/fleet/ports.js'
import type { FleetFailure } from '../../core/fleet/fleet.js'
import { parseTenantRef } from '../../core/tenants/slug.js'
import type { VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { databaseColumns } from './tenant-databases.js'

const databases = `(select ${databaseColumns}, schema_version, schema_fingerprint as "schemaFingerprint" from tenant_databases) as database`

/** Tenants with a database that serves, or will serve when the tenant is reactivated. */
const inUse = `from tenants join ${databases}
  on database.id = tenants.database_id and database.state = 'assigned' and tenants.status <> 'deleted'`
/** Also deleted tenants, as long as they have their database. */
const withDatabase = `from tenants join ${databases}
  on database.id = tenants.database_id and database.state in ('assigned', 'retired')`

const newConditions = {
  change: 'database."updatedAt" >= $1::timestamptz',
  // A database in stock is older than its tenant, and one that was restored is younger.
  arrival: 'greatest(tenants.created_at, database."createdAt") >= $1::timestamptz',
} as const

const isBehind = (version: string) => `coalesce(schema_version < ${version}::bigint, ${version}::bigint > -1)`

/** Creates the catalog's view of all tenants. It makes no connection to a tenant. */
export function createFleetCatalog(catalog: SqlPool): FleetCatalog {
  return {
    async findNamed(tenants) {
      const refs = tenants.flatMap((text) => parseTenantRef(text) ?? [])
      const valuesOf = (kind: string) => refs.filter((ref) => ref.kind === kind).map(({ value }) => value)
      const { rows } = await catalog.query<NamedTenant>(
        `select tenants.id, slug, database_id as "databaseId", labels,
           coalesce(database.state = 'assigned' and status <> 'deleted', false) as "isInUse"
         from tenants left join tenant_databases as database on database.id = database_id
         where tenants.id = any($1::uuid[]) or slug = any($2::text[]) order by tenants.id`,
        [valuesOf('id'), valuesOf('slug')],
      )
      return rows
    },

    async overview(selection, version) {
      const { rows } = await catalog.query<{ total: number; behind: number; since: string }>(
        `select count(*)::int as total, count(*) filter (where ${isBehind('$1')})::int as behind,
           (now() - interval '1 minute')::text as since
         ${selectedBy(selection, '$2', '$3')}`,
        [version, ...valuesOfSelection(selection)],
      )
      return rows[0] ?? { total: 0, behind: 0, since: '-infinity' }
    },

    async page(selection, { after, limit, behind, since, newOnly, newBy = 'change' }) {
      const newness = newConditions[newBy]
      const { rows } = await catalog.query<FleetRow>(
        `select tenants.id as "tenantId", slug, database.*, schema_version::float8 as "schemaVersion",
           ${newness} as "isNew",
           exists (select from tenant_migration_failures where database_id = database.id) as "hasFailed"
         ${selectedBy(selection, '$5', '$6')}
           ${after === undefined ? 'and $2::uuid is null' : 'and tenants.id > $2::uuid'}
           ${behind === undefined ? 'and $3::bigint is null' : `and ${isBehind('$3')}`}
           ${newOnly ? `and ${newness}` : ''}
         order by tenants.id limit $4`,
        [since, after ?? null, behind ?? null, limit, ...valuesOfSelection(selection)],
      )
      return rows.map(({ tenantId, slug, isNew, hasFailed, schema_version: _text, ...database }) => ({
        ...{ id: tenantId, slug, isNew, hasFailed, database },
      }))
    },

    async versions() {
      const { rows } = await catalog.query<{ version: number | null; tenants: number }>(
        `select schema_version::float8 as version, count(*)::int as tenants ${inUse}
         group by schema_version order by schema_version nulls first`,
      )
      return rows
    },

    async failures(limit) {
      const { rows } = await catalog.query<FleetFailure & { readonly total: number }>(
        `select tenants.id, slug, schema_version::float8 as version, code, message, file, attempts,
           failed_at as "failedAt", count(*) over ()::int as total
         ${inUse} join tenant_migration_failures as failure on failure.database_id = database.id
         order by failed_at desc, tenants.id limit greatest($1::int, 1)`,
        [limit],
      )
      return {
        failed: rows[0]?.total ?? 0,
        tenantsFailed: rows.slice(0, limit).map(({ total: _total, ...row }) => row),
      }
    },

    async lastRun(action) {
      const { rows } = await catalog.query<{ at: Date; after: unknown }>(
        'select at, after from audit_log where tenant_id is null and action = $1 order by seq desc limit 1',
        [action],
      )
      return rows[0]
    },

    async recordRun(actor, action, after) {
      await queryAudited(
        catalog,
        "insert into audit_log (actor_id, action, subject, after) values ($1, $2, 'fleet', $3)",
        [actor, action, after],
      )
    },
  }
}

interface FleetRow extends VersionedDatabase {
  readonly tenantId: string
  readonly slug: string
  readonly isNew: boolean
  readonly hasFailed: boolean
  readonly schema_version: string | null
}

/** Parameters that are not needed are compared with null: the server must know the type of each. */
const selectedBy = ({ ids, label, withDeleted = false }: FleetSelection, idsAt: string, labelAt: string) =>
  `${withDeleted ? withDatabase : inUse}
   where ${ids === undefined ? `${idsAt}::uuid[] is null` : `tenants.id = any(${idsAt}::uuid[])`}
     and ${label === undefined ? `${labelAt}::text is null` : `labels @> array[${labelAt}::text]`}`

const valuesOfSelection = ({ ids, label }: FleetSelection): unknown[] => [ids ?? null, label ?? null]
