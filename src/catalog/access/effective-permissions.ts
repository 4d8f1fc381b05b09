import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlPool } from '../../core/sql-client.js'
import { parseTenantRef } from '../../core/tenants/slug.js'
import { parse, schemaOf, tenant, user } from '../input.js'
import { type Barrier, barrierCase } from '../members/member-facts.js'
import { isNamed, tenantNotFound } from '../tenants/tenant-row.js'
import { effectiveRoles, holdsPermission } from './effective-access.js'

/** A member. */
export interface EffectivePermissionsInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the user. */
  readonly user: string
}

/** What a member may do at this moment. */
export interface EffectivePermissions {
  /** Names of the active roles that the member holds, directly or by inclusion, sorted. */
  readonly roles: readonly string[]
  /** Names of the active permissions that the member holds, by roles and overrides, sorted. */
  readonly permissions: readonly string[]
  /** Why none of it counts at this moment, such as `tenant-suspended` or `user-disabled`; null: it counts. */
  readonly barrier: Exclude<Barrier, 'user-unknown' | 'not-a-member'> | null
}

const effectiveInput = schemaOf<EffectivePermissionsInput>()(z.strictObject({ tenant, user }))

interface EffectiveRow extends EffectivePermissions {
  readonly isMember: boolean
}

/**
 * Reads what a member holds. Makes one query of the catalog.
 *
 * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_REQUEST_INVALID
 */
export async function readEffectivePermissions(
  catalog: SqlPool,
  input: EffectivePermissionsInput,
): Promise<EffectivePermissions> {
  const { tenant: named, user: userId } = parse(effectiveInput, input)
  const ref = parseTenantRef(named)
  if (ref === undefined) throw tenantNotFound(named)
  const { rows } = await catalog.query<EffectiveRow>(
    `select membership.user_id is not null as "isMember", ${barrierCase} as barrier,
       array(select role.name from roles as role where role.id = any (effective.role_ids) order by role.name collate "C") as roles,
       array(
         select permission.name from permissions as permission
         where permission.is_active and ${holdsPermission('membership')} order by permission.name collate "C"
       ) as permissions
     from (select * from tenants where ${isNamed(ref.kind, '$2')}) as tenants
     left join user_tenants as membership on membership.tenant_id = tenants.id and membership.user_id = $1
     left join users on users.id = membership.user_id
     left join lateral (${effectiveRoles('membership')}) as effective on true`,
    [userId, ref.value],
  )
  const [found] = rows
  if (found === undefined) throw tenantNotFound(named)
  const { isMember, ...effective } = found
  if (isMember) return effective
  throw new TenancyError('TENANCY_MEMBER_NOT_FOUND', `The user ${userId} is not a member of the tenant ${named}`)
}
