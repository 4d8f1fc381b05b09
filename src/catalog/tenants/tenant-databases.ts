import type { TenantDatabase } from '../../core/model.js'
import { queryRepeated, type SqlPool } from '../../core/sql-client.js'
import type {
  DatabaseTenant,
  RecordedDatabase,
  RemovedDatabase,
  TenantDatabaseRecords,
  UnfinishedDatabase,
  VersionedDatabase,
} from '../../core/tenants/tenant-databases.js'
import { queryAudited } from '../../postgres/audited-query.js'

/** Columns of a `TenantDatabase`. */
export const databaseColumns = `id, server_id as "serverId", name, role_name as "roleName", state, epoch,
  created_at as "createdAt", updated_at as "updatedAt", retired_at as "retiredAt"`

const versionedColumns = `${databaseColumns}, schema_version::float8 as "schemaVersion",
  schema_fingerprint as "schemaFingerprint"`

const fromNow = (parameter: string) => `now() + make_interval(secs => ${parameter}::integer / 1000.0)`

const retireNow = `state = 'retired', retired_at = now(), drop_after = now(), reserved_for = null, lease_expires_at = null`

const maxMessageLength = 2000

/** PostgreSQL stores no NUL, and a message may quote whatever a file holds. */
function storedMessage(message: string): string {
  return message.slice(0, maxMessageLength).replaceAll('\0', '')
}

/** Creates the catalog's record of tenant databases. Times come from the catalog server's clock. */
export function createTenantDatabaseRecords(catalog: SqlPool): TenantDatabaseRecords {
  const one = async (text: string, values: unknown[]) => (await catalog.query<TenantDatabase>(text, values)).rows[0]
  const ids = async (text: string, values: unknown[]) =>
    (await catalog.query<{ id: string }>(text, values)).rows.map((row) => row.id)

  return {
    async installationId() {
      const [id] = await ids('select id from installation', [])
      if (id === undefined) throw new Error('The catalog has no installation row: migrate it first')
      return id
    },

    async serverId(name) {
      const sql =
        'insert into database_servers (name) values ($1) on conflict (name) do update set name = excluded.name returning id'
      const [found] = await ids('select id from database_servers where name = $1', [name])
      if (found !== undefined) return found
      const [made] = await ids(sql, [name])
      if (made === undefined) throw new Error('An upsert returned no row')
      return made
    },

    // Runs for every new connection to a tenant.
    async find(id) {
      const sql = `select ${versionedColumns} from tenant_databases where id = $1`
      return (await queryRepeated<VersionedDatabase>(catalog, sql, [id])).rows[0]
    },

    findAny: () =>
      one(
        `select ${databaseColumns} from tenant_databases where state in ('ready', 'assigned')
         order by state = 'ready' desc, created_at desc limit 1`,
        [],
      ),

    async beginBuild(build) {
      // The commit waits for no disk: the server writes its log in order, and so this row before what is built for it.
      const { rows } = await catalog.query<{ begun: boolean }>(
        `select begin_database_build($1, $2, $3, $4, $5, $6, $7, $8, $9) as begun,
           set_config('synchronous_commit', 'off', true)`,
        [
          build.id,
          build.serverId,
          build.name,
          build.roleName,
          build.templateVersion,
          build.lease,
          build.leaseMs,
          build.reservedFor ?? null,
          build.stockTarget ?? null,
        ],
      )
      return rows[0]?.begun === true
    },

    markReady: (id, lease, reservedMs, schema) =>
      one(
        `update tenant_databases set state = 'ready', lease_owner = null, schema_version = $4, schema_fingerprint = $5,
           lease_expires_at = case when reserved_for is not null then ${fromNow('$3')} end
         where id = $1 and state = 'building' and lease_owner = $2 returning ${databaseColumns}`,
        [id, lease, reservedMs, schema.version, schema.fingerprint],
      ),

    async countDiverged(serverId, { version, fingerprint }) {
      const { rows } = await catalog.query<{ count: number }>(
        `select count(*)::int as count from tenant_databases
         where server_id = $1 and state in ('assigned', 'retired') and schema_version = $2 and schema_fingerprint <> $3`,
        [serverId, version, fingerprint],
      )
      return rows[0]?.count ?? 0
    },

    async recordSchema(id, { version, fingerprint }) {
      // Does not wait for the disk: a server that crashes may forget it, and then the ledger is looked into once more.
      await queryRepeated(
        catalog,
        // The tenant first, as in every other transaction: a trigger raises its epoch.
        `with unflushed as (select set_config('synchronous_commit', 'off', true)),
           succeeded as (delete from tenant_migration_failures where database_id = $1 and wanted_version <= $2),
           owner as (select id from tenants where database_id = $1 for no key update)
         update tenant_databases set schema_version = $2, schema_fingerprint = $3
         where id = $1 and (schema_version, schema_fingerprint) is distinct from ($2, $3)
           and (select count(*) from owner) >= 0 and (select count(*) from unflushed) = 1`,
        [id, version, fingerprint],
      )
    },

    async announceMigration(id) {
      await queryRepeated(catalog, "select announce_change('m:' || $1::uuid)", [id])
    },

    async announceMigrations(databaseIds, version) {
      const sql = `with found as materialized (
           select *, case when state = 'assigned' and coalesce(schema_version < $2, true)
             then announce_change('m:' || id) end from tenant_databases where id = any($1::uuid[])
         ) select ${versionedColumns} from found`
      return (await queryRepeated<VersionedDatabase>(catalog, sql, [databaseIds, version])).rows
    },

    async recordFailure(id, { wantedVersion, code, message, file }) {
      await catalog.query(
        `insert into tenant_migration_failures as failure (database_id, wanted_version, code, message, file)
         values ($1, $2, $3, $4, $5)
         on conflict (database_id) do update set wanted_version = excluded.wanted_version, code = excluded.code,
           message = excluded.message, file = excluded.file, attempts = failure.attempts + 1, failed_at = now()`,
        [id, wantedVersion, code, storedMessage(message), file ?? null],
      )
    },

    async forgetFailure(id, code) {
      await catalog.query('delete from tenant_migration_failures where database_id = $1 and code = $2', [id, code])
    },

    async unfinished(serverId, leaseMs) {
      const { rows } = await catalog.query<UnfinishedDatabase>(
        `select id,
           coalesce(lease_expires_at, drop_after + make_interval(secs => $2::integer / 1000.0)) <= now() as "isOverdue"
         from tenant_databases
         where server_id = $1 and (state in ('building', 'dropping') or (state = 'retired' and drop_after <= now()))
         order by created_at`,
        [serverId, leaseMs],
      )
      return rows
    },

    beginDrop: (id, lease, leaseMs) =>
      one(
        `update tenant_databases set state = 'dropping', lease_owner = $2, lease_expires_at = ${fromNow('$3')}
         where id = $1 and (state in ('building', 'dropping') or (state = 'retired' and drop_after <= now()))
           and not exists (select from tenants where database_id = $1 and status <> 'deleted')
         returning ${databaseColumns}`,
        [id, lease, leaseMs],
      ),

    async finishDrop(id, lease) {
      const { rows } = await queryAudited<RemovedDatabase>(
        catalog,
        'select tenant_id as "tenantId" from finish_database_drop($1, $2)',
        [id, lease],
      )
      return rows[0]
    },

    async renewLease(id, lease, leaseMs) {
      await catalog.query(
        `update tenant_databases set lease_expires_at = ${fromNow('$3')}
         where id = $1 and lease_owner = $2 and state in ('building', 'dropping')`,
        [id, lease, leaseMs],
      )
    },

    async retireOutdated(serverId, templateVersion, olderThanMs) {
      await catalog.query(
        `update tenant_databases set ${retireNow}
         where server_id = $1 and state = 'ready' and template_version <> $2
           and updated_at < now() - make_interval(secs => $3::integer / 1000.0)`,
        [serverId, templateVersion, olderThanMs],
      )
    },

    async retireUnusable(id) {
      await catalog.query(`update tenant_databases set ${retireNow} where id = $1 and state = 'ready'`, [id])
    },

    async tenantsOf(databaseIds) {
      const { rows } = await catalog.query<DatabaseTenant>(
        'select database_id as "databaseId", id, slug from tenants where database_id = any($1::uuid[])',
        [databaseIds],
      )
      return rows
    },

    async list(serverId) {
      const { rows } = await catalog.query<RecordedDatabase>(
        `select id, name, case when state = 'retired' and drop_after <= now() then 'dropping' else state end as state
         from tenant_databases where server_id = $1`,
        [serverId],
      )
      return rows
    },

    async lead(serverId, leader, leaseMs) {
      const { rowCount } = await catalog.query(
        `update database_servers set leader = $2, leader_until = ${fromNow('$3')}
         where id = $1 and (leader is null or leader = $2 or leader_until <= now())`,
        [serverId, leader, leaseMs],
      )
      return rowCount === 1
    },
  }
}
