import { TenancyError, type TenancyErrorCode } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import type { Scope, TenantScope } from '../change.js'
import { effectiveRoles, holdsPermission, overrideCounts } from './effective-access.js'

/**
 * Access that an actor is about to grant, or that a member or role holds. Named as callers name it, so that it can be asked
 * for together with the look-ups of the same names, in one message; a name that nothing has adds nothing.
 */
export interface Holdings {
  /** Names of built-in roles or of the tenant's own, with all that they include. */
  readonly roles?: readonly string[]
  /** Names of permissions. */
  readonly permissions?: readonly string[]
  /** Id of a member: the roles, inactive ones included, and the direct allows. Denies are not subtracted. */
  readonly member?: string
}

/** The part of some holdings that the actor does not hold. */
interface Missing {
  readonly permissions: readonly string[]
  readonly roles: readonly string[]
  /** Whether the actor is an active member of the tenant. */
  readonly isMember: boolean
  readonly isOwner: boolean
}

// Reads the part of the holdings that the actor does not hold. Inactive roles and permissions count in the holdings,
// because somebody may activate them again; an inactive permission counts as held by an actor who would hold it if it
// were active. A guard may ask for a built-in role by its name, so the name counts as well; an Owner has all of them.
const missingQuery = `
  with recursive given (role_id) as (
    (
      select role.id from roles as role
      where role.name = any ($3::text[]) and (role.tenant_id is null or role.tenant_id = $1)
      union all
      select held.role_id from user_tenant_roles as held where held.tenant_id = $1 and held.user_id = $5::uuid
    )
    union
    select inclusion.included_role_id from given join role_inclusions as inclusion on inclusion.role_id = given.role_id
  )
  select
    array(
      select permission.name from permissions as permission
      where (
        permission.name = any ($4::text[])
        or permission.id in (select permission_id from role_permissions where role_id in (select role_id from given))
        or permission.id in (
          select override.permission_id from user_tenant_permissions as override
          where override.tenant_id = $1 and override.user_id = $5::uuid and override.effect = 'allow' and ${overrideCounts}
        )
      ) and not (${holdsPermission('actor')})
      order by permission.name
    ) as permissions,
    array(
      select role.name from roles as role
      where role.tenant_id is null and role.id in (select role_id from given) and role.id <> all (effective.role_ids)
        and not owner.is_owner
      order by role.name
    ) as roles,
    true as "isMember",
    owner.is_owner as "isOwner"
  from user_tenants as actor
  join users on users.id = actor.user_id and users.disabled_at is null
  join tenants on tenants.id = actor.tenant_id and tenants.status = 'active'
  cross join lateral (${effectiveRoles('actor')}) as effective
  cross join lateral (
    select exists (
      select from roles as role
      where role.id = any (effective.role_ids) and role.tenant_id is null and role.name = 'Owner'
    ) as is_owner
  ) as owner
  where actor.tenant_id = $1 and actor.user_id = $2 and actor.is_active`

/**
 * Refuses unless the actor holds everything that is granted. Call it before access is granted to a member or to a
 * tenant's role. An operator of the installation (no actor) may grant anything. Only operators may change built-in roles and
 * permissions (no tenant).
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_GRANT_REFUSED
 */
export async function refuseToGiveMore(client: SqlClient, scope: Scope, given: Holdings): Promise<void> {
  const missing = await readMissing(client, scope, given)
  if (missing !== undefined) refuse('TENANCY_ACCESS_GRANT_REFUSED', scope, 'give', missing)
}

/**
 * Refuses an actor who does not hold everything that the member holds, unless the actor is an Owner. Call it before a
 * membership, or a member's roles or overrides, are changed. Members may change themselves, and so may leave.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_CHANGE_REFUSED
 */
export async function refuseToChangeMember(client: SqlClient, scope: TenantScope, userId: string): Promise<void> {
  if (scope.actorId === null || scope.actorId === userId) return
  await refuseToReachUp(client, scope, `the member ${userId}`, { member: userId })
}

/**
 * Refuses an actor who does not hold everything that the role grants, unless the actor is an Owner. Call it before a
 * tenant's role is changed.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_CHANGE_REFUSED
 */
export async function refuseToChangeRole(client: SqlClient, scope: Scope, role: string): Promise<void> {
  await refuseToReachUp(client, scope, `the role "${role}"`, { roles: [role] })
}

async function refuseToReachUp(client: SqlClient, scope: Scope, what: string, held: Holdings): Promise<void> {
  const missing = await readMissing(client, scope, held)
  if (missing !== undefined && !missing.isOwner)
    refuse('TENANCY_ACCESS_CHANGE_REFUSED', scope, `change ${what}, with`, missing)
}

/** Refuses if anything is missing. */
function refuse(code: TenancyErrorCode, { actorId, tenantId }: Scope, deed: string, missing: Missing): void {
  const { permissions, roles, isMember } = missing
  if (!isMember) {
    const message = `The user ${actorId} is no active member of the tenant ${tenantId}: they give nothing and change nobody there`
    throw new TenancyError(code, message)
  }
  if (permissions.length === 0 && roles.length === 0) return
  const names = [...roles.map((role) => `the role ${role}`), ...permissions].join(', ')
  throw new TenancyError(code, `The user ${actorId} can't ${deed} what they don't hold: ${names}`, {
    details: { permissions, roles },
  })
}

const stranger: Missing = { permissions: [], roles: [], isMember: false, isOwner: false }

/** Returns undefined without an actor: an operator of the installation makes the change. */
async function readMissing(
  client: SqlClient,
  { tenantId, actorId }: Scope,
  { roles = [], permissions = [], member }: Holdings,
): Promise<Missing | undefined> {
  if (tenantId === null || actorId === null) return undefined
  if (!isUuid(actorId)) return stranger
  const { rows } = await client.query<Missing>(missingQuery, [tenantId, actorId, roles, permissions, member ?? null])
  return rows[0] ?? stranger
}
