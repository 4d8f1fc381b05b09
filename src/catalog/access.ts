import { z } from 'zod'
import { TenancyError } from '../core/errors.js'
import type { SqlClient, SqlPool } from '../core/sql.js'
import {
  findMembership,
  findPermission,
  findRole,
  findRoleToChange,
  keepAnOwner,
  recordChange,
} from './access-lookup.js'
import type { RoleRow } from './access-lookup.js'
import { inTransaction } from './transaction.js'

const id = z.guid()
const actorId = id.nullish()
const name = z.string().min(1).max(200)
const member = { userId: id, tenantId: id, actorId }
/** null: the built-in roles. */
const roleOwner = { tenantId: id.nullable(), actorId }
const newRoleName = z
  .string()
  .regex(/^[\p{L}\p{N}](?:[\p{L}\p{N} ._-]{0,98}[\p{L}\p{N}])?$/u, '1 to 100 letters, digits, spaces, . _ -')

const memberRoleInput = z.strictObject({ ...member, role: name })
const overrideInput = z.strictObject({
  ...member,
  permission: name,
  effect: z.enum(['allow', 'deny']),
  expiresAt: z
    .date()
    .refine((date) => date.getTime() > Date.now(), 'is in the past')
    .nullish(),
})
const overrideKeyInput = z.strictObject({ ...member, permission: name })
const newRoleInput = z.strictObject({ ...roleOwner, name: newRoleName, description: z.string().max(1000).default('') })
const roleGrantInput = z.strictObject({ ...roleOwner, role: name, permission: name })
const roleActiveInput = z.strictObject({ ...roleOwner, role: name, isActive: z.boolean() })
const permissionActiveInput = z.strictObject({ actorId, permission: name, isActive: z.boolean() })

/** A member's role, by the role's name: built in, or the tenant's own. `actorId`: who does it, for the audit log. */
export type MemberRoleInput = z.input<typeof memberRoleInput>
/** A direct allow or deny of one permission; `expiresAt`: when it ends, never if absent. */
export type OverrideInput = z.input<typeof overrideInput>
export type OverrideKeyInput = z.input<typeof overrideKeyInput>
/** A new role; `tenantId` null makes a built-in one. */
export type NewRoleInput = z.input<typeof newRoleInput>
/** A role's permission; `tenantId` null means the built-in role of that name. */
export type RoleGrantInput = z.input<typeof roleGrantInput>
export type RoleActiveInput = z.input<typeof roleActiveInput>
export type PermissionActiveInput = z.input<typeof permissionActiveInput>

/** A role as the catalog has it. */
export interface Role {
  readonly id: string
  /** null: built in. */
  readonly tenantId: string | null
  readonly name: string
  readonly description: string
  readonly isActive: boolean
  readonly isSystem: boolean
}

/**
 * Changes who may do what. Each method is one transaction with its audit entry and its epochs; asking for what is
 * already so writes nothing. All throw {@link TenancyError} TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface AccessAdministration {
  /** @throws TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND */
  assignRole(input: MemberRoleInput): Promise<void>
  /** @throws TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_MEMBER_LAST_OWNER */
  unassignRole(input: MemberRoleInput): Promise<void>
  /** Replaces an override of the same permission. @throws TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_PERMISSION_NOT_FOUND */
  setOverride(input: OverrideInput): Promise<void>
  /** @throws TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_PERMISSION_NOT_FOUND */
  clearOverride(input: OverrideKeyInput): Promise<void>
  /** @throws TENANCY_TENANT_NOT_FOUND, TENANCY_ACCESS_ROLE_EXISTS */
  createRole(input: NewRoleInput): Promise<Role>
  /** @throws TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED, TENANCY_ACCESS_PERMISSION_NOT_FOUND */
  grantPermission(input: RoleGrantInput): Promise<void>
  /** @throws TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED, TENANCY_ACCESS_PERMISSION_NOT_FOUND */
  revokePermission(input: RoleGrantInput): Promise<void>
  /** @throws TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED */
  setRoleActive(input: RoleActiveInput): Promise<void>
  /** Installation-wide. @throws TENANCY_ACCESS_PERMISSION_NOT_FOUND */
  setPermissionActive(input: PermissionActiveInput): Promise<void>
}

/** The services that change roles, grants and overrides. */
export function createAccessAdministration(pool: SqlPool): AccessAdministration {
  const change = <Input, Result>(
    schema: z.ZodType<Input>,
    work: (client: SqlClient, input: Input) => Promise<Result>,
  ): ((input: unknown) => Promise<Result>) => {
    return async (input) => {
      const parsed = parse(schema, input)
      return inTransaction(pool, (client) => work(client, parsed))
    }
  }
  return {
    assignRole: change(memberRoleInput, async (client, input) => {
      await findMembership(client, input)
      const role = await findRole(client, input.tenantId, input.role)
      const { rowCount } = await client.query(
        'insert into user_tenant_roles (user_id, tenant_id, role_id) values ($1, $2, $3) on conflict do nothing',
        [input.userId, input.tenantId, role.id],
      )
      if (rowCount === 0) return
      await recordChange(client, input, 'member.role.assign', `user:${input.userId}`, null, { role: role.name })
    }),

    unassignRole: change(memberRoleInput, async (client, input) => {
      const role = await findRole(client, input.tenantId, input.role)
      if (role.tenant_id === null && role.name === 'Owner') await keepAnOwner(client, input.tenantId, input.userId)
      await findMembership(client, input)
      const { rowCount } = await client.query(
        'delete from user_tenant_roles where user_id = $1 and tenant_id = $2 and role_id = $3',
        [input.userId, input.tenantId, role.id],
      )
      if (rowCount === 0) return
      await recordChange(client, input, 'member.role.unassign', `user:${input.userId}`, { role: role.name }, null)
    }),

    setOverride: change(overrideInput, async (client, input) => {
      await findMembership(client, input)
      const { id: permissionId } = await findPermission(client, input.permission)
      const before = await readOverride(client, input, permissionId)
      const expiresAt = input.expiresAt ?? null
      if (before?.effect === input.effect && before.expiresAt?.getTime() === expiresAt?.getTime()) return
      await client.query(
        `insert into user_tenant_permissions (user_id, tenant_id, permission_id, effect, expires_at)
         values ($1, $2, $3, $4, $5)
         on conflict (user_id, tenant_id, permission_id) do update set effect = excluded.effect, expires_at = excluded.expires_at`,
        [input.userId, input.tenantId, permissionId, input.effect, expiresAt],
      )
      const describe = (effect: string, until: Date | null) => ({
        permission: input.permission,
        effect,
        expiresAt: until,
      })
      const old = before === undefined ? null : describe(before.effect, before.expiresAt)
      const subject = `user:${input.userId}`
      await recordChange(client, input, 'member.override.set', subject, old, describe(input.effect, expiresAt))
    }),

    clearOverride: change(overrideKeyInput, async (client, input) => {
      await findMembership(client, input)
      const { id: permissionId } = await findPermission(client, input.permission)
      const { rows } = await client.query<{ effect: string; expiresAt: Date | null }>(
        `delete from user_tenant_permissions where user_id = $1 and tenant_id = $2 and permission_id = $3
         returning effect, expires_at as "expiresAt"`,
        [input.userId, input.tenantId, permissionId],
      )
      const [removed] = rows
      if (removed === undefined) return
      const before = { permission: input.permission, ...removed }
      await recordChange(client, input, 'member.override.clear', `user:${input.userId}`, before, null)
    }),

    createRole: change(newRoleInput, async (client, input) => {
      const { rows } = await client
        .query<RoleRow>(
          `insert into roles (tenant_id, name, description) values ($1, $2, $3)
           returning id, tenant_id, name, description, is_active, is_system`,
          [input.tenantId, input.name, input.description],
        )
        .catch((error: unknown) => explainRoleProblem(error, input.name))
      const role = toRole(rows[0] as RoleRow)
      const after = { name: role.name, description: role.description }
      await recordChange(client, input, 'role.create', `role:${role.id}`, null, after)
      return role
    }),

    grantPermission: change(roleGrantInput, async (client, input) => {
      const role = await findRoleToChange(client, input.tenantId, input.role)
      const permission = await findPermission(client, input.permission)
      const { rowCount } = await client.query(
        'insert into role_permissions (role_id, permission_id) values ($1, $2) on conflict do nothing',
        [role.id, permission.id],
      )
      if (rowCount === 0) return
      await recordChange(client, input, 'role.grant', `role:${role.id}`, null, { permission: permission.name })
    }),

    revokePermission: change(roleGrantInput, async (client, input) => {
      const role = await findRoleToChange(client, input.tenantId, input.role)
      const permission = await findPermission(client, input.permission)
      const { rowCount } = await client.query(
        'delete from role_permissions where role_id = $1 and permission_id = $2',
        [role.id, permission.id],
      )
      if (rowCount === 0) return
      await recordChange(client, input, 'role.revoke', `role:${role.id}`, { permission: permission.name }, null)
    }),

    setRoleActive: change(roleActiveInput, async (client, input) => {
      const role = await findRoleToChange(client, input.tenantId, input.role)
      const { rowCount } = await client.query('update roles set is_active = $2 where id = $1 and is_active <> $2', [
        role.id,
        input.isActive,
      ])
      if (rowCount === 0) return
      const [before, after] = [{ isActive: !input.isActive }, { isActive: input.isActive }]
      await recordChange(client, input, 'role.update', `role:${role.id}`, before, after)
    }),

    setPermissionActive: change(permissionActiveInput, async (client, input) => {
      const permission = await findPermission(client, input.permission)
      const { rowCount } = await client.query(
        'update permissions set is_active = $2 where id = $1 and is_active <> $2',
        [permission.id, input.isActive],
      )
      if (rowCount === 0) return
      const [before, after] = [{ isActive: !input.isActive }, { isActive: input.isActive }]
      await recordChange(client, input, 'permission.update', `permission:${permission.name}`, before, after)
    }),
  }
}

function parse<Output>(schema: z.ZodType<Output>, input: unknown): Output {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'input'}: ${message}`)
  throw new TenancyError('TENANCY_REQUEST_INVALID', `Invalid input: ${problems.join('; ')}`, { details: { problems } })
}

async function readOverride(
  client: SqlClient,
  { userId, tenantId }: { userId: string; tenantId: string },
  permissionId: number,
): Promise<{ effect: string; expiresAt: Date | null } | undefined> {
  const { rows } = await client.query<{ effect: string; expiresAt: Date | null }>(
    `select effect, expires_at as "expiresAt" from user_tenant_permissions
     where user_id = $1 and tenant_id = $2 and permission_id = $3 for update`,
    [userId, tenantId, permissionId],
  )
  return rows[0]
}

function toRole(row: RoleRow): Role {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    name: row.name,
    description: row.description,
    isActive: row.is_active,
    isSystem: row.is_system,
  }
}

function explainRoleProblem(error: unknown, roleName: string): never {
  const { code } = error as { code?: unknown }
  if (code === '23505') {
    const message = `There is a role "${roleName}" already, built in or the tenant's own (case does not count)`
    throw new TenancyError('TENANCY_ACCESS_ROLE_EXISTS', message, { cause: error })
  }
  if (code === '23503') {
    throw new TenancyError('TENANCY_TENANT_NOT_FOUND', 'There is no such tenant to make a role for', { cause: error })
  }
  throw error
}
