import type {
  DefaultMember,
  EpochQuestion,
  Epochs,
  MemberDirectory,
  MemberQuestion,
  MemberRecord,
} from '../../core/access/access.js'
import { TenancyError } from '../../core/errors/errors.js'
import { partOf, selectList, unprefixed } from '../../core/columns.js'
import { membershipColumns, tenantColumns } from '../../core/model.js'
import type { TenantRef } from '../../core/tenants/slug.js'
import { queryRepeated, type SqlPool } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'
import { effectiveRoles, holdsPermission } from '../access/effective-access.js'

// Reads the membership and the grants of a member of `chosen` (user_id, tenant_id). One statement, so one snapshot: grants
// and epochs belong together. Epochs travel as float8, which node-postgres reads as a number (exact up to 2^53).
const memberColumns = `
  ${selectList(tenantColumns, { table: 'tenant', prefix: 'tenant.' })},
  ${selectList(membershipColumns, { table: 'membership', prefix: 'membership.' })},
  (select schema_version::float8 from tenant_databases where id = tenant.database_id) as schema_version,
  tenant.access_epoch::float8 as tenant_epoch,
  installation.rules_epoch::float8 as rules_epoch,
  array(
    select role.name from roles as role
    where role.id = any (effective.role_ids) and tenant.status = 'active'
    order by role.name
  ) as roles,
  array(
    select permission.id from permissions as permission
    where permission.is_active and tenant.status = 'active' and ${holdsPermission('membership')}
    order by permission.id
  ) as permission_ids,
  (
    select floor(extract(epoch from min(override.expires_at)) * 1000)::float8 from user_tenant_permissions as override
    where override.user_id = membership.user_id and override.tenant_id = membership.tenant_id
      and override.expires_at > now() and isfinite(override.expires_at)
  ) as changes_at_ms`

const memberTables = (memberships: string) => `
  ${memberships} as membership
  join tenants as tenant on tenant.id = membership.tenant_id
  cross join lateral (${effectiveRoles('membership')}) as effective
  cross join installation`

/** SQL: the id of the tenant that had this slug lately. */
const formerly = (slug: string) =>
  `(select alias.tenant_id from tenant_slug_aliases as alias where alias.slug = ${slug} and alias.expires_at > now())`

// Read only where the tenant has another slug than the one that was asked for.
const aliasEnd = (slug: string) => `case when tenant.slug <> ${slug} then (
      select floor(extract(epoch from alias.expires_at) * 1000)::float8 from tenant_slug_aliases as alias
      where alias.slug = ${slug}
    ) end as alias_ends_at_ms`

// An array in a sub-select has no length that the planner could know: it would plan for each length anew, which takes the
// server three times as long as reading a member.
const questionsOf = (...types: readonly string[]) =>
  `unnest(${types.map((type, index) => `(select $${index + 1}::${type}[])`).join(', ')}) with ordinality as asked`

// `offset 0` keeps the planner from beginning with the tenant, whose members it would then read one after the other.
const membersQuery = `
  select member.*
  from ${questionsOf('uuid', 'uuid', 'text')} (user_id, tenant_id, slug, position)
  left join lateral (
    select ${memberColumns}, ${aliasEnd('asked.slug')} from ${memberTables(`(
      select * from user_tenants
      where user_id = asked.user_id and is_active
        and tenant_id = coalesce(asked.tenant_id, (select named.id from tenants as named where named.slug = asked.slug), ${formerly('asked.slug')})
      offset 0
    )`)}
  ) as member on true
  order by position`

// Finds the tenant of a request that names none, and the number of candidates. A deleted tenant does not count if another
// one is left. The default tenant counts whatever its status: to skip a suspended one would be a silent fallback to another
// tenant.
const defaultTenant = (user: string, named: string) => `
  select count(*)::integer as candidates,
    case when count(*) = 1 then min(tenant_id::text)::uuid
      when not ${named} then min(tenant_id::text) filter (where is_default)::uuid end as tenant_id
  from (
    select membership.tenant_id, membership.is_default, tenant.status <> 'deleted' as is_live,
      bool_or(tenant.status <> 'deleted') over () as has_live
    from user_tenants as membership join tenants as tenant on tenant.id = membership.tenant_id
    where membership.user_id = ${user} and membership.is_active
  ) as memberships where is_live or is_default or not has_live`

const defaultMemberQuery = `
  select chosen.candidates, member.*
  from (${defaultTenant('$1', '$2::boolean')}) as chosen
  left join lateral (
    select ${memberColumns} from ${memberTables('user_tenants')}
    where membership.user_id = $1 and membership.tenant_id = chosen.tenant_id
  ) as member on true`

// Subqueries, so that each is a look-up by key, regardless of the number of questions and the size of the tables. Only
// members get the epochs of a tenant: for everybody else the answer is the same as for a tenant that does not exist.
const epochsQuery = `
  select
    rules_epoch::float8 as rules,
    (select access_epoch::float8 from users where users.id = asked.user_id) as user,
    coalesce(chosen.candidates, 0) as candidates,
    tenant.id as tenant_id,
    tenant.access_epoch::float8 as tenant
  from installation
  cross join ${questionsOf('uuid', 'uuid', 'text', 'boolean')} (user_id, tenant_id, slug, is_default, position)
  left join lateral (${defaultTenant('asked.user_id', '$5::boolean')}) as chosen on asked.is_default
  left join lateral (
    select tenants.id, tenants.access_epoch
    from user_tenants as membership join tenants on tenants.id = membership.tenant_id
    where membership.user_id = asked.user_id and membership.is_active
      and membership.tenant_id = coalesce(asked.tenant_id, chosen.tenant_id)
    union all
    select tenants.id, tenants.access_epoch
    from tenants join user_tenants as membership on membership.tenant_id = tenants.id
    where tenants.slug = asked.slug and membership.user_id = asked.user_id and membership.is_active
    union all
    select tenants.id, tenants.access_epoch
    from tenants join user_tenants as membership on membership.tenant_id = tenants.id
    where tenants.id = ${formerly('asked.slug')} and membership.user_id = asked.user_id and membership.is_active
    limit 1
  ) as tenant on true
  order by position`

interface EpochsRow {
  readonly rules: number
  readonly user: number | null
  readonly candidates: number
  readonly tenant_id: string | null
  readonly tenant: number | null
}

interface MemberRow {
  readonly schema_version: number | null
  readonly tenant_epoch: number
  readonly rules_epoch: number
  readonly roles: string[]
  readonly permission_ids: number[]
  readonly changes_at_ms: number | null
  /** When the slug that was asked for stops naming the tenant; null: not known of. Of a member whose tenant was named. */
  readonly alias_ends_at_ms?: number | null
  /** The columns of the tenant and of the membership, with prefixes. */
  readonly [column: `tenant.${string}` | `membership.${string}`]: unknown
}

/** Options of {@link createMemberDirectory}. */
export interface MemberDirectoryOptions {
  /** A user with several candidate tenants has no default tenant. Default: false. */
  readonly requireNamedTenant?: boolean | undefined
}

/**
 * Finds members in the catalog. An inactive membership counts as none: the answer is the same as for a user who was never a
 * member. Members hold roles and permissions in an active tenant only. A suspended or deleted tenant is found, with empty
 * grants.
 *
 * Every method throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE when the catalog does not answer.
 */
export function createMemberDirectory(
  pool: SqlPool,
  { requireNamedTenant = false }: MemberDirectoryOptions = {},
): MemberDirectory {
  return {
    async findMembers(questions) {
      const rows = await read<MemberRow>(pool, membersQuery, [
        questions.map(({ userId }) => userId),
        questions.map((question) => nameOf(question, 'id')),
        questions.map((question) => nameOf(question, 'slug')),
      ])
      return rows.map((row) => (row['tenant.id'] === null ? undefined : toRecord(row)))
    },
    async findDefaultMember(userId): Promise<DefaultMember> {
      const [row] = await read<MemberRow & { candidates: number }>(pool, defaultMemberQuery, [
        userId,
        requireNamedTenant,
      ])
      if (row === undefined || row.candidates === 0) return { kind: 'none' }
      if (row['tenant.id'] === null) return { kind: 'ambiguous' }
      return { kind: 'member', member: toRecord(row) }
    },
    async readEpochs(questions): Promise<Epochs[]> {
      const rows = await read<EpochsRow>(pool, epochsQuery, [
        questions.map(({ userId }) => userId),
        questions.map((question) => nameOf(question, 'id')),
        questions.map((question) => nameOf(question, 'slug')),
        questions.map(({ tenant }) => tenant === 'default'),
        requireNamedTenant,
      ])
      if (rows.length !== questions.length)
        throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog has no installation row')
      return rows.map((row) => ({
        rules: row.rules,
        user: row.user ?? undefined,
        tenantId: row.tenant_id ?? undefined,
        tenant: row.tenant ?? undefined,
        candidates: row.candidates,
      }))
    },
  }
}

/** Returns the value by which the question names its tenant, if it names it in this way. */
function nameOf({ tenant }: EpochQuestion | MemberQuestion, kind: TenantRef['kind']): string | null {
  return tenant !== 'default' && tenant?.kind === kind ? tenant.value : null
}

async function read<Row extends object>(pool: SqlPool, text: string, values: unknown[]): Promise<Row[]> {
  return (await catalogAnswer(queryRepeated<Row>(pool, text, values), 'members')).rows
}

function toRecord(row: MemberRow): MemberRecord {
  const changes = [row.changes_at_ms, row.alias_ends_at_ms].filter((moment) => typeof moment === 'number')
  return {
    tenant: partOf(tenantColumns, 'public', unprefixed(tenantColumns, row, 'tenant.')),
    membership: partOf(membershipColumns, 'public', unprefixed(membershipColumns, row, 'membership.')),
    grants: {
      roles: row.roles,
      permissionIds: row.permission_ids,
      changesAtMs: changes.length === 0 ? null : Math.min(...changes),
    },
    schemaVersion: row.schema_version,
    tenantEpoch: row.tenant_epoch,
    rulesEpoch: row.rules_epoch,
  }
}
