import { z } from 'zod'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { refuseToGiveMore } from './authority.js'
import { createChange, type TenantScope } from '../change.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { actor, name, parse, tenant, user, schemaOf } from '../input.js'
import { commitChange, findMemberToChange, findPermission, findRole, keepAnOwner } from './lookup.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder } from '../transaction.js'

/** A member whose access is changed. */
interface MemberInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the user who is the member. */
  readonly user: string
}

/** A role to assign to a member, or to take away. */
export interface MemberRoleInput extends MemberInput {
  /** Name of a role, built in or the tenant's own. */
  readonly role: string
}

/** An override of one permission, by its name. */
export interface OverrideKeyInput extends MemberInput {
  /** Name of the permission. */
  readonly permission: string
}

/** A direct allow or deny of one permission. */
export interface OverrideInput extends OverrideKeyInput {
  readonly effect: 'allow' | 'deny'
  /** When it ends, in the future. Default, and null: never. */
  readonly expiresAt?: Date | null | undefined
}

/** Which overrides to list. */
export interface OverrideListInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of a member. Default: all members. */
  readonly user?: string | undefined
}

const member = { tenant, user, actor }
const memberRoleInput = schemaOf<MemberRoleInput>()(z.strictObject({ ...member, role: name }))
const overrideKeyInput = schemaOf<OverrideKeyInput>()(z.strictObject({ ...member, permission: name }))
const overrideInput = schemaOf<OverrideInput>()(
  z.strictObject({
    ...member,
    permission: name,
    effect: z.enum(['allow', 'deny']),
    expiresAt: z
      .date()
      .refine((date) => date.getTime() > Date.now(), 'is in the past')
      .nullish(),
  }),
)
const overrideListInput = schemaOf<OverrideListInput>()(z.strictObject({ tenant, user: user.optional() }))

/** A direct allow or deny. */
export interface Override {
  /** Id of the member. */
  readonly user: string
  readonly permission: string
  readonly effect: 'allow' | 'deny'
  /** When it ends; null: never. */
  readonly expiresAt: Date | null
}

/** Changes the roles and direct overrides of members. */
export interface MemberAccessAdministration {
  /**
   * Gives a member a role.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_ACCESS_GRANT_REFUSED
   */
  assignRole(input: MemberRoleInput): Promise<void>
  /**
   * Takes a role from a member.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_MEMBER_LAST_OWNER
   */
  unassignRole(input: MemberRoleInput): Promise<void>
  /**
   * Allows or denies a member one permission and replaces an earlier override of it. Replacing a deny counts as a grant,
   * as an allow does.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_PERMISSION_NOT_FOUND,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_ACCESS_GRANT_REFUSED
   */
  setOverride(input: OverrideInput): Promise<void>
  /**
   * Removes an override. Removing a deny counts as a grant, as an allow does.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_PERMISSION_NOT_FOUND,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_ACCESS_GRANT_REFUSED
   */
  clearOverride(input: OverrideKeyInput): Promise<void>
  /** Lists overrides by member and permission, expired ones included. @throws TENANCY_TENANT_NOT_FOUND */
  listOverrides(input: OverrideListInput): Promise<Override[]>
}

/** Creates the services that change the roles and overrides of members. */
export function createMemberAccess(pool: SqlPool): MemberAccessAdministration {
  const change = createChange(pool)
  return {
    assignRole: change.ofTenant(memberRoleInput, async (client, input, scope) => {
      // Locked before the member: whoever deletes a role locks the role, then those who hold it.
      const given = findRole(client, scope.tenantId, input.role, { lock: true })
      const [, role] = await inOrder([
        findMemberToChange(client, scope, input.user),
        given,
        refuseToGiveMore(client, scope, { roles: [input.role] }),
      ])
      const { rowCount } = await client.query(
        'insert into user_tenant_roles (user_id, tenant_id, role_id) values ($1, $2, $3) on conflict do nothing',
        [input.user, scope.tenantId, role.id],
      )
      if (rowCount === 0) return
      await commitChange(client, scope, 'member.role.assign', `user:${input.user}`, null, { role: role.name })
    }),

    unassignRole: change.ofTenant(memberRoleInput, async (client, input, scope) => {
      const [, role] = await inOrder([
        findMemberToChange(client, scope, input.user),
        findRole(client, scope.tenantId, input.role),
        // No tenant has a role of its own of this name.
        input.role === 'Owner' ? keepAnOwner(client, scope.tenantId, input.user) : undefined,
      ])
      const { rowCount } = await client.query(
        'delete from user_tenant_roles where user_id = $1 and tenant_id = $2 and role_id = $3',
        [input.user, scope.tenantId, role.id],
      )
      if (rowCount === 0) return
      await commitChange(client, scope, 'member.role.unassign', `user:${input.user}`, { role: role.name }, null)
    }),

    setOverride: change.ofTenant(overrideInput, async (client, input, scope) => {
      const { permission, effect } = input
      const [, { id: permissionId }, before] = await inOrder([
        findMemberToChange(client, scope, input.user),
        findPermission(client, permission),
        readOverride(client, input.user, scope, permission),
      ])
      const expiresAt = input.expiresAt ?? null
      if (before?.effect === effect && before.expiresAt?.getTime() === expiresAt?.getTime()) return
      if (effect === 'allow' || before?.effect === 'deny') {
        await refuseToGiveMore(client, scope, { permissions: [input.permission] })
      }
      const old = before === undefined ? null : { permission, ...before }
      const after = { permission, effect, expiresAt }
      await inOrder([
        client.query(
          `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect, expires_at)
           values ($1, $2, $3, $4, $5)
           on conflict (user_id, tenant_id, permission_id) do update set effect = excluded.effect, expires_at = excluded.expires_at`,
          [input.user, scope.tenantId, permissionId, effect, expiresAt],
        ),
        commitChange(client, scope, 'member.override.set', `user:${input.user}`, old, after),
      ])
    }),

    clearOverride: change.ofTenant(overrideKeyInput, async (client, input, scope) => {
      const [, { id: permissionId }, before] = await inOrder([
        findMemberToChange(client, scope, input.user),
        findPermission(client, input.permission),
        readOverride(client, input.user, scope, input.permission),
      ])
      if (before === undefined) return
      if (before.effect === 'deny') await refuseToGiveMore(client, scope, { permissions: [input.permission] })
      const old = { permission: input.permission, ...before }
      await inOrder([
        client.query(
          'delete from user_tenant_permissions where user_id = $1 and tenant_id = $2 and permission_id = $3',
          [input.user, scope.tenantId, permissionId],
        ),
        commitChange(client, scope, 'member.override.clear', `user:${input.user}`, old, null),
      ])
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
  permission: string,
): Promise<Pick<Override, 'effect' | 'expiresAt'> | undefined> {
  const { rows } = await client.query<Pick<Override, 'effect' | 'expiresAt'>>(
    `select effect, expires_at as "expiresAt" from user_tenant_permissions
     where user_id = $1 and tenant_id = $2 and permission_id = (select id from permissions where name = $3) for update`,
    [userId, tenantId, permission],
  )
  return rows[0]
}
