import { z } from 'zod'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { refuseToGiveMore } from './authority.js'
import { createChange, type TenantScope } from '../change.js'
import { actor, name, parse, tenant, user } from '../input.js'
import { findMemberToChange, findPermission, findRole, keepAnOwner, recordChange } from './lookup.js'
import { findTenant } from '../tenants/tenant-row.js'

const memberRoleInput = z.strictObject({ tenant, user, role: name, actor })
const overrideInput = z.strictObject({
  tenant,
  user,
  permission: name,
  effect: z.enum(['allow', 'deny']),
  expiresAt: z
    .date()
    .refine((date) => date.getTime() > Date.now(), 'is in the past')
    .nullish(),
  actor,
})
const overrideKeyInput = z.strictObject({ tenant, user, permission: name, actor })
const overrideListInput = z.strictObject({ tenant, user: user.optional() })

/** A member's role, by the role's name: built in, or the tenant's own. */
export type MemberRoleInput = z.input<typeof memberRoleInput>
/** A direct allow or deny of one permission; `expiresAt`: when it ends, never if absent. */
export type OverrideInput = z.input<typeof overrideInput>
export type OverrideKeyInput = z.input<typeof overrideKeyInput>
/** Overrides of a tenant, or of one `user` in it. */
export type OverrideListInput = z.input<typeof overrideListInput>

/** A direct allow or deny. */
export interface Override {
  /** Id of the member. */
  readonly user: string
  readonly permission: string
  readonly effect: 'allow' | 'deny'
  /** From this moment on it counts for nothing; null: never. */
  readonly expiresAt: Date | null
}

/** What a member holds: roles and direct overrides. */
export interface MemberAccessAdministration {
  /**
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_ACCESS_GRANT_REFUSED
   */
  assignRole(input: MemberRoleInput): Promise<void>
  /**
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_MEMBER_LAST_OWNER
   */
  unassignRole(input: MemberRoleInput): Promise<void>
  /**
   * Replaces an override of the same permission. Replacing a deny gives something, like an allow.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_PERMISSION_NOT_FOUND,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_ACCESS_GRANT_REFUSED
   */
  setOverride(input: OverrideInput): Promise<void>
  /**
   * Clearing a deny gives something, like an allow.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_PERMISSION_NOT_FOUND,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_ACCESS_GRANT_REFUSED
   */
  clearOverride(input: OverrideKeyInput): Promise<void>
  /** By member and permission, expired ones included. @throws TENANCY_TENANT_NOT_FOUND */
  listOverrides(input: OverrideListInput): Promise<Override[]>
}

/** The services that change what members hold. */
export function createMemberAccess(pool: SqlPool): MemberAccessAdministration {
  const change = createChange(pool)
  return {
    assignRole: change.ofTenant(memberRoleInput, async (client, input, scope) => {
      await findMemberToChange(client, scope, input.user)
      const role = await findRole(client, scope.tenantId, input.role)
      await refuseToGiveMore(client, scope, { roleIds: [role.id] })
      const { rowCount } = await client.query(
        'insert into user_tenant_roles (user_id, tenant_id, role_id) values ($1, $2, $3) on conflict do nothing',
        [input.user, scope.tenantId, role.id],
      )
      if (rowCount === 0) return
      await recordChange(client, scope, 'member.role.assign', `user:${input.user}`, null, { role: role.name })
    }),

    unassignRole: change.ofTenant(memberRoleInput, async (client, input, scope) => {
      await findMemberToChange(client, scope, input.user)
      const role = await findRole(client, scope.tenantId, input.role)
      if (role.tenant_id === null && role.name === 'Owner') await keepAnOwner(client, scope.tenantId, input.user)
      const { rowCount } = await client.query(
        'delete from user_tenant_roles where user_id = $1 and tenant_id = $2 and role_id = $3',
        [input.user, scope.tenantId, role.id],
      )
      if (rowCount === 0) return
      await recordChange(client, scope, 'member.role.unassign', `user:${input.user}`, { role: role.name }, null)
    }),

    setOverride: change.ofTenant(overrideInput, async (client, input, scope) => {
      const { permission, effect } = input
      await findMemberToChange(client, scope, input.user)
      const { id: permissionId } = await findPermission(client, permission)
      const before = await readOverride(client, input.user, scope, permissionId)
      const expiresAt = input.expiresAt ?? null
      if (before?.effect === effect && before.expiresAt?.getTime() === expiresAt?.getTime()) return
      if (effect === 'allow' || before?.effect === 'deny') {
        await refuseToGiveMore(client, scope, { permissionIds: [permissionId] })
      }
      await client.query(
        `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect, expires_at)
         values ($1, $2, $3, $4, $5)
         on conflict (user_id, tenant_id, permission_id) do update set effect = excluded.effect, expires_at = excluded.expires_at`,
        [input.user, scope.tenantId, permissionId, effect, expiresAt],
      )
      const old = before === undefined ? null : { permission, ...before }
      const after = { permission, effect, expiresAt }
      await recordChange(client, scope, 'member.override.set', `user:${input.user}`, old, after)
    }),

    clearOverride: change.ofTenant(overrideKeyInput, async (client, input, scope) => {
      await findMemberToChange(client, scope, input.user)
      const { id: permissionId } = await findPermission(client, input.permission)
      const before = await readOverride(client, input.user, scope, permissionId)
      if (before === undefined) return
      if (before.effect === 'deny') await refuseToGiveMore(client, scope, { permissionIds: [permissionId] })
      await client.query(
        'delete from user_tenant_permissions where user_id = $1 and tenant_id = $2 and permission_id = $3',
        [input.user, scope.tenantId, permissionId],
      )
      const old = { permission: input.permission, ...before }
      await recordChange(client, scope, 'member.override.clear', `user:${input.user}`, old, null)
    }),

    async listOverrides(input) {
      const parsed = parse(overrideListInput, input)
      const { id } = await findTenant(pool, parsed.tenant)
      const { rows } = await pool.query<Override>(
        `select user_id as user, permission.name as permission, effect, expires_at as "expiresAt"
         from user_tenant_permissions join permissions as permission on permission.id = permission_id
         where tenant_id = $1 and ($2::uuid is null or user_id = $2) order by user_id, permission.name`,
        [id, parsed.user ?? null],
      )
      return rows
    },
  }
}

async function readOverride(
  client: SqlClient,
  userId: string,
  { tenantId }: TenantScope,
  permissionId: number,
): Promise<Pick<Override, 'effect' | 'expiresAt'> | undefined> {
  const { rows } = await client.query<Pick<Override, 'effect' | 'expiresAt'>>(
    `select effect, expires_at as "expiresAt" from user_tenant_permissions
     where user_id = $1 and tenant_id = $2 and permission_id = $3 for update`,
    [userId, tenantId, permissionId],
  )
  return rows[0]
}
