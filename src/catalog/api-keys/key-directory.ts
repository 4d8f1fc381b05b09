import { partOf, selectList, unprefixed } from '../../core/columns.js'
import type { ApiKeyDirectory, ApiKeyRecord } from '../../core/identity/api-keys.js'
import { tenantColumns } from '../../core/model.js'
import { queryRepeated, type SqlPool } from '../../core/sql-client.js'
import { effectiveRoles, holdsPermission } from '../access/effective-access.js'

// One statement, so one snapshot: what the key may do and the epochs belong together. The membership is that of the member who
// answers for the key. It bounds the key whether or not it is active, and whether or not the user is disabled: the key belongs to
// a service account, and goes on.
const keysQuery = `
  select found.*
  from unnest((select $1::bytea[])) with ordinality as asked (hash, position)
  left join lateral (
    select key.id, key.name, key.prefix, account.id as account_id, account.name as account_name,
      key.revoked_at is null and account.is_active and (key.expires_at is null or key.expires_at > now()) as is_in_force,
      coalesce(floor(extract(epoch from key.last_used_at) * 1000), 0)::float8 as last_used_at_ms,
      ${selectList(tenantColumns, { table: 'tenant', prefix: 'tenant.' })},
      (select schema_version::float8 from tenant_databases where id = tenant.database_id) as schema_version,
      tenant.access_epoch::float8 as tenant_epoch,
      installation.rules_epoch::float8 as rules_epoch,
      membership.user_id as responsible_id,
      (select access_epoch::float8 from users where users.id = membership.user_id) as responsible_epoch,
      array(
        select permission.id from permissions as permission
        where permission.is_active and tenant.status = 'active' and permission.id = any (key.permission_ids)
          and (membership.user_id is null or (${holdsPermission('membership')}))
        order by permission.id
      ) as permission_ids,
      array(
        select alias.slug from tenant_slug_aliases as alias where alias.tenant_id = tenant.id and alias.expires_at > now()
      ) as former_slugs,
      (
        select floor(extract(epoch from min(moment)) * 1000)::float8 from (
          select key.expires_at as moment
          union all select key.secret_ends_at
          union all select override.expires_at from user_tenant_permissions as override
            where override.user_id = membership.user_id and override.tenant_id = membership.tenant_id
          union all select alias.expires_at from tenant_slug_aliases as alias where alias.tenant_id = tenant.id
        ) as ends where moment > now() and isfinite(moment)
      ) as changes_at_ms
    from (
      select *, null::timestamptz as secret_ends_at from api_keys where secret_hash = asked.hash
      union all
      select *, previous_ends_at from api_keys where previous_hash = asked.hash and previous_ends_at > now()
    ) as key
    join service_accounts as account on account.id = key.service_account_id
    join tenants as tenant on tenant.id = key.tenant_id
    left join user_tenants as membership
      on membership.user_id = key.responsible_id and membership.tenant_id = key.tenant_id
    cross join lateral (${effectiveRoles('membership')}) as effective
    cross join installation
    limit 1
  ) as found on true
  order by position`

interface KeyRow {
  /** null: no key has this hash. */
  readonly id: string | null
  readonly name: string
  readonly prefix: string
  readonly account_id: string
  readonly account_name: string
  readonly is_in_force: boolean
  readonly last_used_at_ms: number
  readonly schema_version: number | null
  readonly tenant_epoch: number
  readonly rules_epoch: number
  readonly responsible_id: string | null
  readonly responsible_epoch: number | null
  readonly permission_ids: number[]
  readonly former_slugs: string[]
  readonly changes_at_ms: number | null
}

/** Finds API keys in the catalog. In a tenant that is not active they hold nothing. */
export function createKeyDirectory(pool: SqlPool): ApiKeyDirectory {
  return {
    async findKeys(hashes) {
      const { rows } = await queryRepeated<KeyRow>(pool, keysQuery, [hashes])
      return rows.map((row) => (row.id === null ? undefined : toRecord(row, row.id)))
    },
    async noteUse(keyId) {
      await pool.query(
        `update api_keys set last_used_at = now()
         where id = $1 and (last_used_at is null or last_used_at < now() - interval '5 minutes')`,
        [keyId],
      )
    },
  }
}

function toRecord(row: KeyRow, id: string): ApiKeyRecord {
  const tenant = partOf(tenantColumns, 'public', unprefixed(tenantColumns, row, 'tenant.'))
  const { name, prefix, account_id: accountId, account_name: accountName } = row
  return {
    serviceAccount: Object.freeze({
      ...{ id: accountId, name: accountName, tenantId: tenant.id },
      apiKey: Object.freeze({ id, name, prefix }),
    }),
    isInForce: row.is_in_force,
    tenant,
    formerSlugs: row.former_slugs,
    grants: { roles: [], permissionIds: row.permission_ids, changesAtMs: row.changes_at_ms },
    schemaVersion: row.schema_version,
    tenantEpoch: row.tenant_epoch,
    rulesEpoch: row.rules_epoch,
    responsible:
      row.responsible_id === null ? undefined : { id: row.responsible_id, epoch: row.responsible_epoch ?? 0 },
    lastUsedAtMs: row.last_used_at_ms,
  }
}
