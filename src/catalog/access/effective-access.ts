// The access of a member, as SQL that several queries share. `member` names a table with user_id and tenant_id. The catalog's
// function `missing_access` has the same rule in its own text; a test compares them.

const overrideCounts = '(override.expires_at is null or override.expires_at > now())'

/**
 * SQL subquery of one row: `role_ids`, the active roles that a member holds directly or by inclusion. An inactive role
 * grants nothing: neither its own permissions nor the roles that it includes.
 */
export const effectiveRoles = (member: string) => `
    with recursive reached (role_id) as (
      select role.id from user_tenant_roles as held
      join roles as role on role.id = held.role_id and role.is_active
      where held.user_id = ${member}.user_id and held.tenant_id = ${member}.tenant_id
      union
      select role.id from reached
      join role_inclusions as inclusion on inclusion.role_id = reached.role_id
      join roles as role on role.id = inclusion.included_role_id and role.is_active
    )
    select array(select role_id from reached) as role_ids`

/**
 * SQL condition: a member holds `permission` (a table with the column id) by a role of `effective` (see
 * {@link effectiveRoles}) or by a direct allow, and has no direct deny of it. It does not check that the permission itself
 * is active; the caller does.
 */
export const holdsPermission = (member: string) => `
      permission.id in (
        select granted.permission_id from role_permissions as granted where granted.role_id = any (effective.role_ids)
        union all
        select override.permission_id from user_tenant_permissions as override
        where override.user_id = ${member}.user_id and override.tenant_id = ${member}.tenant_id
          and override.effect = 'allow' and ${overrideCounts}
      )
      and not exists (
        select from user_tenant_permissions as override
        where override.user_id = ${member}.user_id and override.tenant_id = ${member}.tenant_id
          and override.permission_id = permission.id and override.effect = 'deny' and ${overrideCounts}
      )`
