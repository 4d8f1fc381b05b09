-- The part of some access that an actor does not hold, as before, for access that is given until a moment. What somebody gives
-- must not outlast what they hold, so a direct allow that ends sooner does not count. `given_until` is 'infinity' for what has
-- no end, and '-infinity' where everything that the actor holds now counts: for a change of somebody else's access. A direct
-- allow among the holdings is given until its own end. The form without a moment stays for processes of the release before.
create function missing_access(
  tenant uuid, actor_id uuid, role_names text[], permission_names text[], held_by uuid, given_until timestamptz
) returns table (missing_permissions text[], missing_roles text[], actor_is_owner boolean) language plpgsql stable as $$
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
  ), override (user_id, permission_id, effect, ends) as (
    select counts.user_id, counts.permission_id, counts.effect, coalesce(counts.expires_at, 'infinity')
    from user_tenant_permissions as counts
    where counts.tenant_id = tenant and counts.user_id in (actor_id, held_by)
      and (counts.expires_at is null or counts.expires_at > now())
  ), wanted (permission_id, until) as (
    select permission.id, given_until from permissions as permission where permission.name = any (permission_names)
    union all
    select granted.permission_id, given_until from role_permissions as granted
    where granted.role_id in (select role_id from given)
    union all
    select override.permission_id, least(given_until, override.ends) from override
    where override.user_id = held_by and override.effect = 'allow'
  )
  select
    array(
      select permission.name from permissions as permission
      join (select permission_id, max(until) as until from wanted group by permission_id) as asked
        on asked.permission_id = permission.id
      where not (
        permission.id in (
          select granted.permission_id from role_permissions as granted where granted.role_id in (select role_id from reached)
          union all
          select override.permission_id from override
          where override.user_id = actor_id and override.effect = 'allow' and override.ends >= asked.until
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

-- By which permission the inviter could invite, if the catalog knew one: they must hold it still when the invitation is
-- accepted. `refused_at`: since it was sent last, an acceptance was refused because the inviter may no longer give it.
alter table invitations add column permission_id integer references permissions (id) on delete set null;
alter table invitations add column refused_at timestamptz;
create index invitations_permission_id_idx on invitations (permission_id);

-- As before. The inviter must still be allowed to invite, and what they hold must not end; a refusal is kept for the
-- administrators of the tenant, in the row and, once until it is sent again, in the audit log.
create or replace function accept_invitation(
  hash bytea, who uuid,
  out outcome text, out tenant tenants, out members integer, out joined user_tenants
) language plpgsql set lock_timeout = '5s' as $$
declare
  invited invitations;
  given_ids uuid[];
  given_names text[];
  lacks text[];
begin
  outcome := 'invalid';
  select * into tenant from tenants
    where id = (select tenant_id from invitations where token_hash = hash) for no key update;
  if not found or tenant.status <> 'active' then
    return;
  end if;
  select * into invited from invitations
    where token_hash = hash and state = 'open' and expires_at > clock_timestamp() for update;
  if not found then
    return;
  end if;
  perform from roles where id = any (invited.role_ids) order by id for share;
  perform from users
    where id = who and disabled_at is null and email_verified and plain_address(email) = invited.email for no key update;
  if not found then
    return;
  end if;
  select count(*) into members from user_tenants where tenant_id = tenant.id;
  if exists (select from user_tenants where tenant_id = tenant.id and user_id = who) then
    outcome := 'member';
    return;
  end if;
  if members >= tenant.max_users then
    outcome := 'full';
    return;
  end if;
  -- A role that was deleted meanwhile is not given.
  select coalesce(array_agg(id order by name), '{}'), coalesce(array_agg(name order by name), '{}') into given_ids, given_names
    from roles where id = any (invited.role_ids) and (tenant_id is null or tenant_id = tenant.id);
  if invited.invited_by is not null then
    -- Inviting is a deed, so holding the permission for a while is enough; what is given must not outlast what is held.
    -- No row: the inviter is no active member any more.
    select given.missing_permissions || given.missing_roles || inviting.missing_permissions into lacks
      from missing_access(tenant.id, invited.invited_by, given_names, '{}', null, 'infinity') as given
      cross join missing_access(
        tenant.id, invited.invited_by, '{}', array(select name from permissions where id = invited.permission_id), null,
        '-infinity'
      ) as inviting;
    if lacks is distinct from '{}'::text[] then
      outcome := 'authority';
      if invited.refused_at is null then
        update invitations set refused_at = now() where id = invited.id;
        insert into audit_log (actor_id, tenant_id, action, subject, after)
          values (who, tenant.id, 'invitation.refuse', 'invitation:' || invited.id,
            jsonb_build_object('invitedBy', invited.invited_by, 'lacks', lacks));
      end if;
      return;
    end if;
  end if;
  insert into user_tenants (user_id, tenant_id, is_default)
    values (who, tenant.id, not exists (select from user_tenants where user_id = who)) returning * into joined;
  insert into user_tenant_roles (user_id, tenant_id, role_id) select who, tenant.id, unnest(given_ids);
  update invitations set state = 'accepted', accepted_by = who, ended_at = now() where id = invited.id;
  insert into audit_log (actor_id, tenant_id, action, subject, after)
    values (who, tenant.id, 'invitation.accept', 'user:' || who,
      jsonb_build_object('invitation', invited.id, 'roles', given_names, 'isDefault', joined.is_default));
  outcome := 'joined';
end $$;

-- The time of the last change of a tenant is that of its own facts. A change of its roles, or of its database's schema,
-- raises the epoch alone: who has read the tenant has not read anything that is different now.
create function tenants_facts_time() returns trigger language plpgsql as $$
declare
  earlier tenants := old;
begin
  earlier.access_epoch := new.access_epoch;
  if new is distinct from earlier then
    new.updated_at := now();
  end if;
  return new;
end $$;
create or replace trigger tenants_updated_at before update on tenants for each row
  when (new.* is distinct from old.*) execute function tenants_facts_time();
