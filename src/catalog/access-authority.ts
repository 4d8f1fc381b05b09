import { TenancyError } from '../core/errors.js'
import type { SqlClient } from '../core/sql.js'
import { isUuid } from '../core/uuid.js'
import type { Scope } from './access-change.js'
import { effectiveRoles, holdsPermission } from './effective-access.js'

/** What somebody is about to give. */
export interface Given {
  /** Roles, with all that they include. */
  readonly roleIds?: readonly string[]
  readonly permissionIds?: readonly number[]
}

// What of the given the actor does not hold. What is switched off counts as given (somebody may switch it on again), and
// a permission that is switched off as held by who would hold it. A built-in role opens doors by its name as well, so its
// name is given, too; an Owner has all of them.
const missingQuery = `
  with recursive given (role_id) as (
    select unnest($3::uuid[])
    union
    select inclusion.included_role_id from given join role_inclusions as inclusion on inclusion.role_id = given.role_id
  )
  select
    array(
      select permission.name from permissions as permission
      where (
        permission.id = any ($4::integer[])
        or permission.id in (select permission_id from role_permissions where role_id in (select role_id from given))
      ) and not (${holdsPermission('actor')})
      order by permission.name
    ) as permissions,
    array(
      select role.name from roles as role
      where role.tenant_id is null and role.id in (select role_id from given) and role.id <> all (effective.role_ids)
        and not exists (
          select from roles as owner
          where owner.id = any (effective.role_ids) and owner.tenant_id is null and owner.name = 'Owner'
        )
      order by role.name
    ) as roles
  from user_tenants as actor
  join users on users.id = actor.user_id and users.disabled_at is null
  join tenants on tenants.id = actor.tenant_id and tenants.status = 'active'
  cross join lateral (${effectiveRoles('actor')}) as effective
  where actor.tenant_id = $1 and actor.user_id = $2 and actor.is_active`

/**
 * Call before access is given to a member or to a tenant's role: refuses unless the actor holds everything that is given.
 * Who runs the installation (no actor) may give anything, and built-in things (no tenant) are theirs alone to change.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_GRANT_REFUSED
 */
export async function refuseToGiveMore(client: SqlClient, scope: Scope, given: Given): Promise<void> {
  const { tenantId, actorId } = scope
  if (tenantId === null || actorId === null) return
  const missing = isUuid(actorId) ? await readMissing(client, tenantId, actorId, given) : undefined
  if (missing === undefined) {
    throw new TenancyError(
      'TENANCY_ACCESS_GRANT_REFUSED',
      `The user ${actorId} is no active member of the tenant ${tenantId} and can't give access to it`,
    )
  }
  const { permissions, roles } = missing
  if (permissions.length === 0 && roles.length === 0) return
  const names = [...roles.map((role) => `the role ${role}`), ...permissions]
  throw new TenancyError(
    'TENANCY_ACCESS_GRANT_REFUSED',
    `The user ${actorId} can't give what they don't hold: ${names.join(', ')}`,
    { details: { permissions, roles } },
  )
}

/** Undefined: the actor is no active member. */
async function readMissing(client: SqlClient, tenantId: string, actorId: string, given: Given) {
  const { rows } = await client.query<{ permissions: string[]; roles: string[] }>(missingQuery, [
    tenantId,
    actorId,
    given.roleIds ?? [],
    given.permissionIds ?? [],
  ])
  return rows[0]
}
