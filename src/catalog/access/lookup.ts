import { TenancyError, type TenancyErrorCode } from '../../core/errors/errors.js'
import { selectList } from '../../core/columns.js'
import { membershipColumns, type UserTenant } from '../../core/model.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import type { SqlClient } from '../../core/sql-client.js'
import { refuseToChangeMember, refuseToChangeRole } from './authority.js'
import { isUuid } from '../../core/uuid.js'
import type { Scope, TenantScope } from '../change.js'
import { noteChange } from '../keyed-request.js'
import { inOrder, type Transaction } from '../transaction.js'

/** A row of `roles`. */
export interface RoleRow {
  readonly id: string
  readonly tenant_id: string | null
  readonly name: string
  readonly description: string
  readonly is_active: boolean
  readonly is_system: boolean
}

/** A row of `permissions`. */
interface PermissionRow {
  readonly id: number
  readonly name: string
  readonly description: string
  readonly category: string | null
}

/** Reads a row of `user_tenants` as a {@link UserTenant}. */
export const membershipList = selectList(membershipColumns)

/**
 * Finds a membership to be changed, active or not, and locks it until the end of the transaction. Every change of a
 * member calls this with the tenant's row locked, so that the actor still holds what was checked when the change is
 * written. The user is locked before the membership, as everywhere. A change writes both, and another transaction may
 * change the same user's membership in another tenant.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_MEMBER_NOT_FOUND
 */
export async function findMemberToChange(client: SqlClient, scope: TenantScope, userId: string): Promise<UserTenant> {
  const [, , { rows }] = await inOrder([
    refuseToChangeMember(client, scope, userId),
    client.query('select from users where id = $1 for no key update', [userId]),
    client.query<UserTenant>(
      `select ${membershipList} from user_tenants where user_id = $1 and tenant_id = $2 for no key update`,
      [userId, scope.tenantId],
    ),
  ])
  if (rows[0] !== undefined) return rows[0]
  throw noMember(userId, scope.tenantId)
}

/** The error for a user who is no member. */
export function noMember(userId: string, tenantId: string): TenancyError {
  return new TenancyError('TENANCY_MEMBER_NOT_FOUND', `The user ${userId} is not a member of the tenant ${tenantId}`)
}

/** Reads the names of the roles that a member holds directly, sorted. */
export async function readRoleNames(client: SqlClient, tenantId: string, userId: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select name from user_tenant_roles join roles on roles.id = role_id
     where user_tenant_roles.tenant_id = $1 and user_id = $2 order by name`,
    [tenantId, userId],
  )
  return rows.map((row) => row.name)
}

/**
 * Finds roles by their exact names: the tenant's own, or built-in ones.
 *
 * @param lock keeps the names until the end of the transaction: for roles to be given, whose names {@link refuseToGiveMore}
 *   is asked about next. An operator who renames a built-in role does not lock the tenant
 * @returns one for each name, in the order of the names
 * @throws {@link TenancyError} TENANCY_ACCESS_ROLE_NOT_FOUND
 */
export async function findRoles(
  client: SqlClient,
  tenantId: string | null,
  names: readonly string[],
  { lock = false } = {},
): Promise<RoleRow[]> {
  const { rows } = await client.query<RoleRow>(
    `select id, tenant_id, name, description, is_active, is_system from roles
     where name = any ($2::text[]) and (tenant_id is null or tenant_id = $1) ${lock ? 'order by id for share' : ''}`,
    [tenantId, names],
  )
  return names.map((name) => {
    const role = rows.find((row) => row.name === name)
    if (role !== undefined) return role
    throw noRole(tenantId, name)
  })
}

/** The error for a role that neither the tenant nor the installation has. */
export function noRole(tenantId: string | null, nameOrId: string): TenancyError {
  const scope = tenantId === null ? 'built-in role' : 'built-in role and no role of this tenant'
  const key = isUuid(nameOrId) ? 'with the id' : 'named'
  return new TenancyError('TENANCY_ACCESS_ROLE_NOT_FOUND', `There is no ${scope} ${key} ${JSON.stringify(nameOrId)}`)
}

/** Finds one role by its exact name, or by its id, as {@link findRoles} does. Text in the form of a UUID is an id. */
export async function findRole(
  client: SqlClient,
  tenantId: string | null,
  nameOrId: string,
  options: { readonly lock?: boolean } = {},
): Promise<RoleRow> {
  if (!isUuid(nameOrId)) {
    const [named] = await findRoles(client, tenantId, [nameOrId], options)
    return named as RoleRow
  }
  const { rows } = await client.query<RoleRow>(
    `select id, tenant_id, name, description, is_active, is_system from roles
     where id = $2 and (tenant_id is null or tenant_id = $1) ${options.lock === true ? 'for share' : ''}`,
    [tenantId, nameOrId],
  )
  if (rows[0] !== undefined) return rows[0]
  throw noRole(tenantId, nameOrId)
}

/**
 * Finds a role to be changed. A tenant can change its own roles only. Every change of a role calls this with the tenant's
 * row locked, or the installation's.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_ROLE_PROTECTED,
 *   TENANCY_ACCESS_CHANGE_REFUSED
 */
export async function findRoleToChange(client: SqlClient, scope: Scope, nameOrId: string): Promise<RoleRow> {
  const [role] = await inOrder([findOwnRole(client, scope, nameOrId), refuseToChangeRole(client, scope, nameOrId)])
  return role
}

async function findOwnRole(client: SqlClient, scope: Scope, nameOrId: string): Promise<RoleRow> {
  const role = await findRole(client, scope.tenantId, nameOrId)
  if (role.tenant_id === scope.tenantId) return role
  throw new TenancyError(
    'TENANCY_ACCESS_ROLE_PROTECTED',
    `The role "${role.name}" is built in: a tenant can't change it; make a role of the tenant's own`,
  )
}

/** @throws {@link TenancyError} TENANCY_ACCESS_PERMISSION_NOT_FOUND */
export async function findPermission(client: SqlClient, name: string): Promise<PermissionRow> {
  const { rows } = await client.query<PermissionRow>(
    'select id, name, description, category from permissions where name = $1',
    [name],
  )
  const [permission] = rows
  if (permission !== undefined) return permission
  throw new TenancyError('TENANCY_ACCESS_PERMISSION_NOT_FOUND', `There is no permission ${JSON.stringify(name)}`)
}

/**
 * Refuses when no other active, enabled Owner would remain. Call it before a member is demoted, deactivated or removed, in
 * the same transaction and with the tenant's row locked, so that two Owners cannot remove each other at once.
 *
 * @throws {@link TenancyError} TENANCY_MEMBER_LAST_OWNER
 */
export async function keepAnOwner(client: SqlClient, tenantId: string, userId: string): Promise<void> {
  const { rows } = await client.query<{ is_owner: boolean; has_other: boolean }>(
    `select coalesce(bool_or(membership.user_id = $2), false) as is_owner,
            coalesce(bool_or(membership.user_id <> $2 and membership.is_active and users.disabled_at is null), false)
              as has_other
     from user_tenant_roles as held
     join roles on roles.id = held.role_id and roles.tenant_id is null and roles.name = 'Owner'
     join user_tenants as membership on (membership.user_id, membership.tenant_id) = (held.user_id, held.tenant_id)
     join users on users.id = membership.user_id
     where held.tenant_id = $1`,
    [tenantId, userId],
  )
  const [owners] = rows
  if (owners === undefined || !owners.is_owner || owners.has_other) return
  throw new TenancyError(
    'TENANCY_MEMBER_LAST_OWNER',
    `The user ${userId} is the last Owner of the tenant ${tenantId}: make somebody else an Owner first`,
  )
}

/**
 * Writes the audit entry of a change and commits both, in one message with statements that were issued just before: the last
 * act of every change.
 */
export async function commitChange(
  client: Transaction,
  { actorId, tenantId }: { readonly actorId?: string | null | undefined; readonly tenantId?: string | null },
  action: string,
  subject: string | null,
  before: object | null,
  after: object | null,
): Promise<void> {
  await inOrder([
    noteChange(client, action, subject),
    client.query(
      'insert into audit_log (actor_id, tenant_id, action, subject, before, after) values ($1, $2, $3, $4, $5, $6)',
      [
        actorId ?? null,
        tenantId ?? null,
        action,
        subject,
        before && JSON.stringify(before),
        after && JSON.stringify(after),
      ],
    ),
    client.commit(),
  ])
}

/** Turns a unique violation of a change into the error for the taken name. Other errors pass unchanged. */
export async function explainTaken(
  change: Promise<unknown>,
  code: TenancyErrorCode,
  what: string,
  taken: string,
): Promise<void> {
  try {
    await change
  } catch (error) {
    if (!hasSqlState(error, sqlStates.uniqueViolation)) throw error
    throw new TenancyError(code, `There is a ${what} ${JSON.stringify(taken)} already`, { cause: error })
  }
}
