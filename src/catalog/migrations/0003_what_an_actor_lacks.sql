-- The part of some access that an actor does not hold: whoever grants or changes access may only do so with what they hold
-- (`src/catalog/access/authority.ts`). A function, because a session keeps its plan: planning this query takes five times as
-- long as running it. Stable, so that it sees what the statement that calls it sees, and nothing that commits meanwhile.
--
-- The holdings are given as names of roles (built-in ones and the tenant's own, with all that they include), as names of
-- permissions, and as a member, who holds roles and direct allows; denies are not subtracted. A name that nothing has adds
-- nothing. Inactive roles and permissions count in the holdings, because somebody may activate them again; an inactive
-- permission counts as held by an actor who would hold it if it were active. A guard may ask for a built-in role by its name,
-- so the name counts as well; an Owner has all of them. No row: the actor is no active member of an active tenant.
--
-- What the actor holds is the rule of `src/catalog/access/effective-access.ts`, which lists of members use; a test compares them.
create function missing_access(tenant uuid, actor_id uuid, role_names text[], permission_names text[], held_by uuid)
returns table (missing_permissions text[], missing_roles text[], actor_is_owner boolean) language plpgsql stable as $$
begin
  return query
  with recursive given (role_id) as (
    (
      select role.id from roles as role
      where role.name = any (role_names) and (role.tenant_id is null or role.tenant_id = tenant)
      union all
      select held.role_id from user_tenant_roles as held where held.tenant_id = tenant and held.user_id = held_by
    )
    union
    select inclusion.included_role_id from given join role_inclusions as inclusion on inclusion.role_id = given.role_id
  ), reached (role_id) as (
    select role.id from user_tenant_roles as held
    join roles as role on role.id = held.role_id and role.is_active
    where held.user_id = actor_id and held.tenant_id = tenant
    union
    select role.id from reached
    join role_inclusions as inclusion on inclusion.role_id = reached.role_id
    join roles as role on role.id = inclusion.included_role_id and role.is_active
  ), override (user_id, permission_id, effect) as (
    select counts.user_id, counts.permission_id, counts.effect from user_tenant_permissions as counts
    where counts.tenant_id = tenant and counts.user_id in (actor_id, held_by)
      and (counts.expires_at is null or counts.expires_at > now())
  )
  select
    array(
      select permission.name from permissions as permission
      where (
        permission.name = any (permission_names)
        or permission.id in (
          select granted.permission_id from role_permissions as granted where granted.role_id in (select role_id from given)
        )
        or permission.id in (
          select override.permission_id from override where override.user_id = held_by and override.effect = 'allow'
        )
      ) and not (
        permission.id in (
          select granted.permission_id from role_permissions as granted where granted.role_id in (select role_id from reached)
          union all
          select override.permission_id from override where override.user_id = actor_id and override.effect = 'allow'
        )
        and not exists (
          select from override
          where override.user_id = actor_id and override.permission_id = permission.id and override.effect = 'deny'
        )
      )
      order by permission.name
    ),
    array(
      select role.name from roles as role
      where role.tenant_id is null and role.id in (select role_id from given)
        and role.id not in (select role_id from reached) and not owner.is_owner
      order by role.name
    ),
    owner.is_owner
  from user_tenants as actor
  join users on users.id = actor.user_id and users.disabled_at is null
  join tenants on tenants.id = actor.tenant_id and tenants.status = 'active'
  cross join lateral (
    select exists (
      select from roles as role
      where role.id in (select role_id from reached) and role.tenant_id is null and role.name = 'Owner'
    ) as is_owner
  ) as owner
  where actor.tenant_id = tenant and actor.user_id = actor_id and actor.is_active;
end $$;
