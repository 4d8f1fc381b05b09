import type { SqlClient } from '../../core/sql-client.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder } from '../transaction.js'

/** A role that a member holds, directly or by inclusion, active or not. */
export interface HeldRole {
  readonly id: string
  readonly name: string
  readonly isActive: boolean
  readonly isDirect: boolean
  /** Ids of the roles that it includes itself, by name. */
  readonly includes: readonly string[]
  /** Names of the permissions that it holds itself. */
  readonly permissions: readonly string[]
}

/** A member's direct override. */
export interface HeldOverride {
  readonly permission: string
  readonly effect: 'allow' | 'deny'
  readonly expiresAt: Date | null
  readonly isExpired: boolean
}

/** Reasons that block every access. */
export type Barrier =
  | 'user-unknown'
  | 'user-disabled'
  | 'user-unverified'
  | 'not-a-member'
  | 'member-inactive'
  | 'tenant-suspended'
  | 'tenant-deleted'

/** The facts that the catalog has about one user in one tenant. */
export interface MemberFacts {
  readonly barrier: Barrier | undefined
  /** By name. */
  readonly roles: readonly HeldRole[]
  readonly overrides: readonly HeldOverride[]
}

/** SQL: the {@link Barrier} of `users`, `tenants` and `membership` (of `user_tenants`); null: none. */
export const barrierCase = `case
    when membership.user_id is null then 'not-a-member'
    when users.disabled_at is not null then 'user-disabled'
    when not users.email_verified then 'user-unverified'
    when not membership.is_active then 'member-inactive'
    when tenants.status = 'suspended' then 'tenant-suspended'
    when tenants.status = 'deleted' then 'tenant-deleted'
  end`

const barrierQuery = `
  select ${barrierCase} as barrier
  from users join tenants on tenants.id = $2
  left join user_tenants as membership on membership.user_id = users.id and membership.tenant_id = tenants.id
  where users.id = $1`

const rolesQuery = `
  with recursive direct as (
    select role_id from user_tenant_roles where user_id = $1 and tenant_id = $2
  ), reached (role_id) as (
    select role_id from direct
    union
    select inclusion.included_role_id from reached
    join role_inclusions as inclusion on inclusion.role_id = reached.role_id
  )
  select role.id, role.name, role.is_active as "isActive", role.id in (select role_id from direct) as "isDirect",
    array(
      select included.id from role_inclusions as inclusion join roles as included on included.id = included_role_id
      where inclusion.role_id = role.id order by included.name
    ) as includes,
    array(
      select permission.name from role_permissions as granted join permissions as permission on permission.id = permission_id
      where granted.role_id = role.id
    ) as permissions
  from roles as role where role.id in (select role_id from reached) order by role.name`

const overridesQuery = `
  select permission.name as permission, effect, expires_at as "expiresAt",
    coalesce(expires_at <= now(), false) as "isExpired"
  from user_tenant_permissions join permissions as permission on permission.id = permission_id
  where user_id = $1 and tenant_id = $2`

/**
 * Reads everything that decides a user's access in a tenant, inactive and expired rows included, in one message.
 *
 * @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND
 */
export async function readMemberFacts(client: SqlClient, tenantId: string, userId: string): Promise<MemberFacts> {
  const values = [userId, tenantId]
  const [, { rows: barriers }, { rows: roles }, { rows: overrides }] = await inOrder([
    findTenant(client, tenantId),
    client.query<{ barrier: Barrier | null }>(barrierQuery, values),
    client.query<HeldRole>(rolesQuery, values),
    client.query<HeldOverride>(overridesQuery, values),
  ])
  const [found] = barriers
  return { barrier: found === undefined ? 'user-unknown' : (found.barrier ?? undefined), roles, overrides }
}
