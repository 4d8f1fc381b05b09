import { z } from 'zod'
import type { RegisteredPermission, RoleName } from '../../core/access/access.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { refuseToGiveMore } from './authority.js'
import { createChange, type TenantScope } from '../change.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { actor, name, parse, tenant, user, schemaOf } from '../input.js'
import { TenancyError } from '../../core/errors/errors.js'
import {
  commitChange,
  findMemberToChange,
  findPermission,
  findRole,
  findRoles,
  keepAnOwner,
  readRoleNames,
} from './lookup.js'
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
  /** Name or id of a role, built in or the tenant's own. */
  readonly role: RoleName
}

/** All roles of a member. */
export interface MemberRolesInput extends MemberInput {
  /** Names of roles, built in or the tenant's own, at most 100. Empty: none. */
  readonly roles: readonly RoleName[]
}

/** An override of one permission, by its name. */
export interface OverrideKeyInput extends MemberInput {
  /** Name of the permission. */
  readonly permission: RegisteredPermission
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
const memberRolesInput = schemaOf<MemberRolesInput>()(
  z.strictObject({ ...member, roles: z.array(name).max(100).readonly() }),
)
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
   * Replaces the roles that a member holds directly, in one transaction. What is given must be the actor's to give, as for
   * `assignRole`; who may take is decided as for `unassignRole`.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_ACCESS_GRANT_REFUSED, TENANCY_MEMBER_LAST_OWNER
   */
  setMemberRoles(input: MemberRolesInput): Promise<void>
  /**
   * Allows or denies a member one permission and replaces an earlier override of it. Replacing a deny counts as a grant,
   * as an allow does. An actor who holds the permission by an allow that ends can give it until that end at most.
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
  /**
   * Lists overrides by member and permission, expired ones included.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND (the user is named and no member)
   */
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
      ])
      const [, { rowCount }] = await inOrder([
        // No tenant has a role of its own of this name.
        role.name === 'Owner' ? keepAnOwner(client, scope.tenantId, input.user) : undefined,
        client.query('delete from user_tenant_roles where user_id = $1 and tenant_id = $2 and role_id = $3', [
          ...[input.user, scope.tenantId, role.id],
        ]),
      ])
      if (rowCount === 0) return
      await commitChange(client, scope, 'member.role.unassign', `user:${input.user}`, { role: role.name }, null)
    }),

    setMemberRoles: change.ofTenant(memberRolesInput, async (client, input, scope) => {
      const wanted = [...new Set(input.roles)].toSorted()
      const given = findRoles(client, scope.tenantId, wanted, { lock: true })
      const [, roles, before] = await inOrder([
        findMemberToChange(client, scope, input.user),
        given,
        readRoleNames(client, scope.tenantId, input.user),
        wanted.includes('Owner') ? undefined : keepAnOwner(client, scope.tenantId, input.user),
      ])
      const added = wanted.filter((role) => !before.includes(role))
      if (added.length === 0 && before.length === wanted.length) return
      if (added.length > 0) await refuseToGiveMore(client, scope, { roles: added })
      const key = [input.user, scope.tenantId, roles.map((role) => role.id)]
      await inOrder([
        client.query(
          'delete from user_tenant_roles where user_id = $1 and tenant_id = $2 and role_id <> all ($3::uuid[])',
          key,
        ),
        client.query(
          `insert into user_tenant_roles (user_id, tenant_id, role_id) select $1, $2, unnest($3::uuid[])
           on conflict do nothing`,
          key,
        ),
        commitChange(client, scope, 'member.roles.set', `user:${input.user}`, { roles: before }, { roles: wanted }),
      ])
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
        await refuseToGiveMore(client, scope, {
          permissions: [permission],
          until: endOfGift(before, effect, expiresAt),
        })
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
      if (before.effect === 'deny') {
        await refuseToGiveMore(client, scope, { permissions: [input.permission], until: before.expiresAt })
      }
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
      // A member without overrides is one row without a permission.
      const { rows } = await pool.query<Override | { readonly permission: null }>(
        `select member.user_id as user, permission.name as permission, effect, expires_at as "expiresAt"
         from user_tenants as member
         left join user_tenant_permissions as override using (user_id, tenant_id)
         left join permissions as permission on permission.id = override.permission_id
         where tenant_id = $1 and ($2::uuid is null and permission.id is not null or member.user_id = $2)
         order by member.user_id, permission.name`,
        [id, parsed.user ?? null],
      )
      if (parsed.user !== undefined && rows.length === 0) {
        throw new TenancyError(
          'TENANCY_MEMBER_NOT_FOUND',
          `The user ${parsed.user} is not a member of the tenant ${id}`,
        )
      }
      return rows.filter((row) => row.permission !== null)
    },
  }
}

/**
 * When what a new override gives ends: an allow at its own end, and what an earlier deny took away when that deny would have
 * ended; null: never.
 */
function endOfGift(
  before: Pick<Override, 'effect' | 'expiresAt'> | undefined,
  effect: Override['effect'],
  expiresAt: Date | null,
): Date | null {
  const ends = [
    ...(effect === 'allow' ? [expiresAt] : []),
    ...(before?.effect === 'deny' ? [before.expiresAt] : []),
  ].map((end) => end?.getTime() ?? Infinity)
  const last = Math.max(...ends)
  return last === Infinity ? null : new Date(last)
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
