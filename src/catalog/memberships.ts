import { TenancyError } from '../core/errors.js'
import type { Tenant, UserTenant } from '../core/model.js'
import type { SqlClient, SqlPool } from '../core/sql.js'
import { isUuid } from '../core/uuid.js'
import { refuseToGiveMore } from './access-authority.js'
import { findRole, keepAnOwner, recordChange, type RoleRow } from './access-lookup.js'
import { overrideCounts } from './effective-access.js'
import { createMembershipLists, type MembershipLists } from './membership-lists.js'
import { findTenant } from './tenant-row.js'
import type { ActorOption } from './tenants.js'
import { inTransaction } from './transaction.js'

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
  /** @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_MEMBER_LAST_OWNER */
  removeMember(tenant: string, user: string, options?: ActorOption): Promise<void>
  /**
   * An inactive member is answered like a stranger, and keeps roles and overrides for when they come back.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_MEMBER_LAST_OWNER, TENANCY_ACCESS_GRANT_REFUSED
   */
  setMemberActive(tenant: string, user: string, isActive: boolean, options?: ActorOption): Promise<UserTenant>
  /** Makes it the tenant that the user's requests are for when they name none. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND */
  setDefaultTenant(tenant: string, user: string, options?: ActorOption): Promise<UserTenant>
}

const membershipColumns = `user_id as "userId", tenant_id as "tenantId", is_active as "isActive",
  is_default as "isDefault", created_at as "createdAt", updated_at as "updatedAt"`

/** The memberships of the catalog. */
export function createMemberships({ catalog }: { readonly catalog: SqlPool }): Memberships {
  return {
    addMember: (tenant, user, options = {}) =>
      inTransaction(catalog, (client) => addMember(client, tenant, user, options)),

    removeMember: (idOrSlug, user, { actor } = {}) =>
      inTransaction(catalog, async (client) => {
        const tenant = await findTenant(client, idOrSlug, { lock: true })
        const userId = parseUserId(user, 'TENANCY_MEMBER_NOT_FOUND')
        await keepAnOwner(client, tenant.id, userId)
        const roles = await roleNames(client, tenant.id, userId)
        const { rowCount } = await client.query('delete from user_tenants where tenant_id = $1 and user_id = $2', [
          tenant.id,
          userId,
        ])
        if (rowCount === 0) throw notAMember(tenant, userId)
        await recordChange(
          client,
          { actorId: actor, tenantId: tenant.id },
          'member.remove',
          `user:${userId}`,
          { roles },
          null,
        )
      }),

    setMemberActive: (tenant, user, isActive, options = {}) =>
      inTransaction(catalog, (client) => setMemberActive(client, tenant, user, isActive, options)),

    setDefaultTenant: (idOrSlug, user, { actor } = {}) =>
      inTransaction(catalog, async (client) => {
        const tenant = await findTenant(client, idOrSlug)
        const userId = parseUserId(user, 'TENANCY_MEMBER_NOT_FOUND')
        await lockUser(client, userId)
        const { rows: before } = await client.query<{ tenantId: string }>(
          `update user_tenants set is_default = false
           where user_id = $1 and tenant_id <> $2 and is_default returning tenant_id as "tenantId"`,
          [userId, tenant.id],
        )
        const { rows } = await client.query<UserTenant>(
          `update user_tenants set is_default = true where user_id = $1 and tenant_id = $2 returning ${membershipColumns}`,
          [userId, tenant.id],
        )
        const [membership] = rows
        if (!membership) throw notAMember(tenant, userId)
        const scope = { actorId: actor, tenantId: tenant.id }
        const [previous = null] = before
        await recordChange(client, scope, 'member.default', `user:${userId}`, previous, { tenantId: tenant.id })
        return membership
      }),

    ...createMembershipLists({ catalog }),
  }
}

async function setMemberActive(
  client: SqlClient,
  idOrSlug: string,
  user: string,
  isActive: boolean,
  { actor }: ActorOption,
): Promise<UserTenant> {
  const tenant = await findTenant(client, idOrSlug, { lock: true })
  const userId = parseUserId(user, 'TENANCY_MEMBER_NOT_FOUND')
  const scope = { actorId: actor ?? null, tenantId: tenant.id }
  const { rows: found } = await client.query<UserTenant>(
    `select ${membershipColumns} from user_tenants where tenant_id = $1 and user_id = $2 for no key update`,
    [tenant.id, userId],
  )
  const [before] = found
  if (!before) throw notAMember(tenant, userId)
  if (before.isActive === isActive) return before
  if (isActive) await refuseToGiveMore(client, scope, await givenTo(client, tenant.id, userId))
  else await keepAnOwner(client, tenant.id, userId)
  const { rows } = await client.query<UserTenant>(
    `update user_tenants set is_active = $3 where tenant_id = $1 and user_id = $2 returning ${membershipColumns}`,
    [tenant.id, userId, isActive],
  )
  await recordChange(client, scope, 'member.update', `user:${userId}`, { isActive: !isActive }, { isActive })
  return rows[0] as UserTenant
}

/** What a member is given again who comes back. */
async function givenTo(client: SqlClient, tenantId: string, userId: string) {
  const { rows } = await client.query<{ roleIds: string[]; permissionIds: number[] }>(
    `select
       array(select role_id from user_tenant_roles where tenant_id = $1 and user_id = $2) as "roleIds",
       array(
         select permission_id from user_tenant_permissions as override
         where tenant_id = $1 and user_id = $2 and effect = 'allow' and ${overrideCounts}
       ) as "permissionIds"`,
    [tenantId, userId],
  )
  return rows[0] as { roleIds: string[]; permissionIds: number[] }
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
  await lockUser(client, userId, 'and disabled_at is null')
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
    `insert into user_tenants (tenant_id, user_id, is_default) values ($1, $2, $3) returning ${membershipColumns}`,
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

async function lockUser(client: SqlClient, userId: string, condition = ''): Promise<void> {
  const { rowCount } = await client.query(`select from users where id = $1 ${condition} for no key update`, [userId])
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

function notAMember(tenant: Tenant, userId: string): TenancyError {
  return new TenancyError(
    'TENANCY_MEMBER_NOT_FOUND',
    `The user ${userId} is not a member of the tenant "${tenant.slug}"`,
  )
}
