import type { DefaultMember, EpochQuestion, Epochs, MemberDirectory, MemberRecord } from '../core/access.js'
import { TenancyError } from '../core/errors.js'
import type { TenantDatabaseState, TenantStatus } from '../core/model.js'
import type { TenantRef } from '../core/slug.js'
import { readRepeated, type SqlPool } from '../core/sql.js'
import { effectiveRoles, holdsPermission } from './effective-access.js'

// What a member of `chosen` (user_id, tenant_id) is and may do. One statement, so one snapshot: grants and epochs
// belong together. Epochs travel as float8, which node-postgres reads as a number (exact up to 2^53).
const memberColumns = `
  tenant.id, tenant.slug, tenant.name, tenant.status, tenant.contact_email, tenant.max_users, tenant.database_id,
  tenant.created_by, tenant.created_at, tenant.updated_at, tenant.suspended_at, tenant.deleted_at,
  tenant.access_epoch::float8 as tenant_epoch,
  installation.rules_epoch::float8 as rules_epoch,
  membership.user_id, membership.is_active, membership.is_default,
  membership.created_at as member_created_at, membership.updated_at as member_updated_at,
  database.server_id, database.name as database_name, database.role_name, database.state, database.epoch,
  database.created_at as database_created_at, database.updated_at as database_updated_at, database.retired_at,
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

const memberTables = `
  user_tenants as membership
  join tenants as tenant on tenant.id = membership.tenant_id
  left join tenant_databases as database on database.id = tenant.database_id
  cross join lateral (${effectiveRoles('membership')}) as effective
  cross join installation`

const memberQuery = (tenantColumn: 'id' | 'slug') => `
  select ${memberColumns} from ${memberTables}
  where membership.user_id = $1 and membership.is_active and tenant.${tenantColumn} = $2`
const memberByIdQuery = memberQuery('id')
const memberBySlugQuery = memberQuery('slug')

// A deleted tenant stands in the way of no other one. The default counts whatever its tenant's status: to pass over a
// suspended one would be a silent fallback to another tenant.
const defaultMemberQuery = `
  with memberships as (
    select membership.tenant_id, membership.is_default, tenant.status <> 'deleted' as is_live
    from user_tenants as membership join tenants as tenant on tenant.id = membership.tenant_id
    where membership.user_id = $1 and membership.is_active
  ), considered as (
    select tenant_id, is_default from memberships
    where is_live or is_default or not exists (select from memberships where is_live)
  ), chosen as (
    select tenant_id from considered where is_default or (select count(*) from considered) = 1
  )
  select (select count(*)::integer from considered) as candidates, member.*
  from (values (1)) as always
  left join lateral (
    select ${memberColumns} from ${memberTables}
    where membership.user_id = $1 and membership.tenant_id = (select tenant_id from chosen)
  ) as member on true`

// Subqueries, so that each is a look-up by key, however many are asked for and however large the tables are.
const epochsQuery = `
  select
    rules_epoch::float8 as rules,
    (select access_epoch::float8 from users where users.id = asked.user_id) as user,
    tenant.id as tenant_id,
    tenant.access_epoch::float8 as tenant
  from installation
  cross join unnest($1::uuid[], $2::uuid[], $3::text[]) with ordinality as asked (user_id, tenant_id, slug, position)
  left join lateral (
    select id, access_epoch from tenants where tenants.id = asked.tenant_id
    union all
    select id, access_epoch from tenants where tenants.slug = asked.slug
    limit 1
  ) as tenant on true
  order by position`

interface EpochsRow {
  readonly rules: number
  readonly user: number | null
  readonly tenant_id: string | null
  readonly tenant: number | null
}

interface MemberRow {
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly status: TenantStatus
  readonly contact_email: string | null
  readonly max_users: number | null
  readonly database_id: string | null
  readonly created_by: string | null
  readonly created_at: Date
  readonly updated_at: Date
  readonly suspended_at: Date | null
  readonly deleted_at: Date | null
  readonly tenant_epoch: number
  readonly rules_epoch: number
  readonly user_id: string
  readonly is_active: boolean
  readonly is_default: boolean
  readonly member_created_at: Date
  readonly member_updated_at: Date
  readonly server_id: string
  readonly database_name: string
  readonly role_name: string
  readonly state: TenantDatabaseState
  readonly epoch: number
  readonly database_created_at: Date
  readonly database_updated_at: Date
  readonly retired_at: Date | null
  readonly roles: string[]
  readonly permission_ids: number[]
  readonly changes_at_ms: number | null
}

/**
 * Finds members in the catalog. An inactive membership is none: its user is answered like a stranger. Only an active
 * tenant's member holds roles and permissions; a suspended or deleted tenant is found, with nothing in the grants.
 *
 * Every method throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE when the catalog does not answer.
 */
export function createMemberDirectory(pool: SqlPool): MemberDirectory {
  return {
    async findMember(userId, ref) {
      const text = ref.kind === 'id' ? memberByIdQuery : memberBySlugQuery
      const [row] = await read<MemberRow>(pool, text, [userId, ref.value])
      return row === undefined ? undefined : toRecord(row)
    },
    async findDefaultMember(userId): Promise<DefaultMember> {
      const [row] = await read<{ candidates: number; id: string | null }>(pool, defaultMemberQuery, [userId])
      if (row === undefined || row.candidates === 0) return { kind: 'none' }
      if (row.id === null) return { kind: 'ambiguous' }
      return { kind: 'member', member: toRecord(row as unknown as MemberRow) }
    },
    async readEpochs(questions): Promise<Epochs[]> {
      const rows = await read<EpochsRow>(pool, epochsQuery, [
        questions.map(({ userId }) => userId),
        questions.map((question) => nameOf(question, 'id')),
        questions.map((question) => nameOf(question, 'slug')),
      ])
      if (rows.length !== questions.length)
        throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog has no installation row')
      return rows.map((row) => ({
        rules: row.rules,
        user: row.user ?? undefined,
        tenantId: row.tenant_id ?? undefined,
        tenant: row.tenant ?? undefined,
      }))
    },
  }
}

/** What the question calls its tenant by, if it does so in this way. */
function nameOf({ tenant }: EpochQuestion, kind: TenantRef['kind']): string | null {
  return tenant?.kind === kind ? tenant.value : null
}

async function read<Row extends object>(pool: SqlPool, text: string, values: unknown[]): Promise<Row[]> {
  try {
    return (await readRepeated<Row>(pool, text, values)).rows
  } catch (error) {
    throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog could not be read', { cause: error })
  }
}

function toRecord(row: MemberRow): MemberRecord {
  return {
    tenant: {
      id: row.id,
      slug: row.slug,
      name: row.name,
      status: row.status,
      contactEmail: row.contact_email,
      maxUsers: row.max_users,
      databaseId: row.database_id,
      createdBy: row.created_by,
      createdAt: row.created_at,
      updatedAt: row.updated_at,
      suspendedAt: row.suspended_at,
      deletedAt: row.deleted_at,
    },
    membership: {
      userId: row.user_id,
      tenantId: row.id,
      isActive: row.is_active,
      isDefault: row.is_default,
      createdAt: row.member_created_at,
      updatedAt: row.member_updated_at,
    },
    database:
      row.database_id === null
        ? null
        : {
            id: row.database_id,
            serverId: row.server_id,
            name: row.database_name,
            roleName: row.role_name,
            state: row.state,
            epoch: row.epoch,
            createdAt: row.database_created_at,
            updatedAt: row.database_updated_at,
            retiredAt: row.retired_at,
          },
    grants: { roles: row.roles, permissionIds: row.permission_ids, changesAtMs: row.changes_at_ms },
    tenantEpoch: row.tenant_epoch,
    rulesEpoch: row.rules_epoch,
  }
}
