import { TenancyError } from '../../core/errors/errors.js'
import type { UserTenant } from '../../core/model.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { holdingsOf, refuseToGiveMore } from '../access/authority.js'
import type { TenantScope } from '../change.js'
import {
  findMemberToChange,
  findRole,
  keepAnOwner,
  membershipList,
  recordChange,
  type RoleRow,
} from '../access/lookup.js'
import { createMembershipLists, type MembershipLists } from './membership-lists.js'
import { findTenant } from '../tenants/tenant-row.js'
import type { ActorOption } from '../tenants/tenants.js'
import { inTransaction } from '../transaction.js'

/** How somebody becomes a member. */
export interface AddMemberOptions extends ActorOption {
  /** Names of roles, built in or the tenant's own. Default: `['Member']`. */
  readonly roles?: readonly string[] | undefined
  /** Whether this becomes the user's default tenant. Default: only when it is their first. */
  readonly isDefault?: boolean | undefined
}

/** Who is in which tenant. `tenant` is an id or a slug, `user` an id. Every change is one transaction with its audit entry. */
export interface Memberships extends MembershipLists {
  /**
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (deleted), TENANCY_USER_NOT_FOUND (unknown or
   *   disabled), TENANCY_MEMBER_EXISTS, TENANCY_MEMBER_LIMIT_REACHED, TENANCY_ACCESS_ROLE_NOT_FOUND,
   *   TENANCY_ACCESS_GRANT_REFUSED
   */
  addMember(tenant: string, user: string, options?: AddMemberOptions): Promise<UserTenant>
  /**
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_ACCESS_CHANGE_REFUSED,
   *   TENANCY_MEMBER_LAST_OWNER
   */
  removeMember(tenant: string, user: string, options?: ActorOption): Promise<void>
  /**
   * An inactive member is answered like a stranger, and keeps roles and overrides for when they come back.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_MEMBER_LAST_OWNER,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_ACCESS_GRANT_REFUSED
   */
  setMemberActive(tenant: string, user: string, isActive: boolean, options?: ActorOption): Promise<UserTenant>
  /**
   * Makes it the tenant that the user's requests are for when they name none.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND (no such user, too), TENANCY_ACCESS_CHANGE_REFUSED
   */
  setDefaultTenant(tenant: string, user: string, options?: ActorOption): Promise<UserTenant>
}

/** The memberships of the catalog. */
export function createMemberships({ catalog }: { readonly catalog: SqlPool }): Memberships {
  return {
    addMember: (tenant, user, options = {}) =>
      inTransaction(catalog, (client) => addMember(client, tenant, user, options)),

    removeMember: (idOrSlug, user, options = {}) =>
      inTransaction(catalog, async (client) => {
        const { scope, userId } = await beginChange(client, idOrSlug, user, options)
        await findMemberToChange(client, scope, userId)
        await keepAnOwner(client, scope.tenantId, userId)
        const roles = await roleNames(client, scope.tenantId, userId)
        await client.query('delete from user_tenants where tenant_id = $1 and user_id = $2', [scope.tenantId, userId])
        await recordChange(client, scope, 'member.remove', `user:${userId}`, { roles }, null)
      }),

    setMemberActive: (tenant, user, isActive, options = {}) =>
      inTransaction(catalog, (client) => setMemberActive(client, tenant, user, isActive, options)),

    setDefaultTenant: (idOrSlug, user, options = {}) =>
      inTransaction(catalog, async (client) => {
        const { scope, userId } = await beginChange(client, idOrSlug, user, options)
        await findMemberToChange(client, scope, userId)
        const { rows: before } = await client.query<{ tenantId: string }>(
          `update user_tenants set is_default = false
           where user_id = $1 and tenant_id <> $2 and is_default returning tenant_id as "tenantId"`,
          [userId, scope.tenantId],
        )
        const { rows } = await client.query<UserTenant>(
          `update user_tenants set is_default = true where user_id = $1 and tenant_id = $2 returning ${membershipList}`,
          [userId, scope.tenantId],
        )
        const [previous = null] = before
        await recordChange(client, scope, 'member.default', `user:${userId}`, previous, { tenantId: scope.tenantId })
        return rows[0] as UserTenant
      }),

    ...createMembershipLists({ catalog }),
  }
}

async function setMemberActive(
  client: SqlClient,
  tenant: string,
  user: string,
  isActive: boolean,
  options: ActorOption,
): Promise<UserTenant> {
  const { scope, userId } = await beginChange(client, tenant, user, options)
  const before = await findMemberToChange(client, scope, userId)
  if (before.isActive === isActive) return before
  if (isActive) await refuseToGiveMore(client, scope, await holdingsOf(client, scope.tenantId, userId))
  else await keepAnOwner(client, scope.tenantId, userId)
  const { rows } = await client.query<UserTenant>(
    `update user_tenants set is_active = $3 where tenant_id = $1 and user_id = $2 returning ${membershipList}`,
    [scope.tenantId, userId, isActive],
  )
  await recordChange(client, scope, 'member.update', `user:${userId}`, { isActive: !isActive }, { isActive })
  return rows[0] as UserTenant
}

/** Locks the tenant: changes of its members come one after the other. */
async function beginChange(
  client: SqlClient,
  idOrSlug: string,
  user: string,
  { actor }: ActorOption,
): Promise<{ readonly scope: TenantScope; readonly userId: string }> {
  const tenant = await findTenant(client, idOrSlug, { lock: true })
  const userId = parseUserId(user, 'TENANCY_MEMBER_NOT_FOUND')
  return { scope: { actorId: actor?.toLowerCase() ?? null, tenantId: tenant.id }, userId }
}

async function addMember(
  client: SqlClient,
  idOrSlug: string,
  user: string,
  options: AddMemberOptions,
): Promise<UserTenant> {
  // The lock makes those who join at the same time count each other.
  const tenant = await findTenant(client, idOrSlug, { lock: true })
  const userId = parseUserId(user, 'TENANCY_USER_NOT_FOUND')
  if (tenant.status === 'deleted') {
    throw new TenancyError(
      'TENANCY_TENANT_STATE_CONFLICT',
      `The tenant "${tenant.slug}" is deleted: nobody can join it`,
    )
  }
  await lockUser(client, userId)
  const { rows: counted } = await client.query<{ count: number; isMember: boolean; isFirst: boolean }>(
    `select count(*)::integer as count, coalesce(bool_or(user_id = $2), false) as "isMember",
       not exists (select from user_tenants where user_id = $2) as "isFirst"
     from user_tenants where tenant_id = $1`,
    [tenant.id, userId],
  )
  const { count, isMember, isFirst } = counted[0] ?? { count: 0, isMember: false, isFirst: true }
  if (isMember)
    throw new TenancyError('TENANCY_MEMBER_EXISTS', `The user ${userId} is in the tenant "${tenant.slug}" already`)
  if (tenant.maxUsers !== null && count >= tenant.maxUsers) {
    throw new TenancyError(
      'TENANCY_MEMBER_LIMIT_REACHED',
      `The tenant "${tenant.slug}" may have ${tenant.maxUsers} members and has ${count}: raise maxUsers or remove a member`,
    )
  }
  const roleList = [...new Set(options.roles ?? ['Member'])]
  const isDefault = options.isDefault ?? isFirst
  if (isDefault)
    await client.query('update user_tenants set is_default = false where user_id = $1 and is_default', [userId])
  const { rows } = await client.query<UserTenant>(
    `insert into user_tenants (tenant_id, user_id, is_default) values ($1, $2, $3) returning ${membershipList}`,
    [tenant.id, userId, isDefault],
  )
  const scope = { actorId: options.actor ?? null, tenantId: tenant.id }
  const given: RoleRow[] = []
  for (const name of roleList) given.push(await findRole(client, tenant.id, name))
  await refuseToGiveMore(client, scope, { roleIds: given.map((role) => role.id) })
  for (const role of given) {
    await client.query('insert into user_tenant_roles (user_id, tenant_id, role_id) values ($1, $2, $3)', [
      userId,
      tenant.id,
      role.id,
    ])
  }
  await recordChange(client, scope, 'member.add', `user:${userId}`, null, { roles: roleList, isDefault })
  return rows[0] as UserTenant
}

async function lockUser(client: SqlClient, userId: string): Promise<void> {
  const { rowCount } = await client.query('select from users where id = $1 and disabled_at is null for no key update', [
    userId,
  ])
  if (rowCount === 0) {
    throw new TenancyError(
      'TENANCY_USER_NOT_FOUND',
      `The user ${userId} does not exist or is disabled: check the user id`,
    )
  }
}

async function roleNames(client: SqlClient, tenantId: string, userId: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select name from user_tenant_roles join roles on roles.id = role_id
     where user_tenant_roles.tenant_id = $1 and user_id = $2 order by name`,
    [tenantId, userId],
  )
  return rows.map((row) => row.name)
}

function parseUserId(text: string, code: 'TENANCY_USER_NOT_FOUND' | 'TENANCY_MEMBER_NOT_FOUND'): string {
  if (isUuid(text)) return text.toLowerCase()
  throw new TenancyError(code, `${JSON.stringify(text.slice(0, 60))} is not the id of a user (a UUID)`)
}
