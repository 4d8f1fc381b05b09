-- A tenant whose database has yet to be built is looked at first, without a lock on the owner.
create or replace function create_tenant(
  new_id uuid, new_slug text, new_name text, new_contact_email text, new_max_users integer,
  owner uuid, actor uuid, version text, reservation uuid
) returns setof tenants language plpgsql as $$
declare
  created tenants;
  taken uuid;
  is_supplied boolean;
begin
  -- Creators of the same slug wait here for each other, so that only one of them takes a database.
  perform pg_advisory_xact_lock(7205003, hashtext(new_slug));
  if exists (select from tenants where slug = new_slug) then
    raise unique_violation using message = 'slug taken', constraint = 'tenants_slug_key';
  end if;
  select id into taken from tenant_databases
   where state = 'ready' and template_version = version
     and (reserved_for is null or reserved_for = reservation or lease_expires_at <= now())
   order by reserved_for = reservation desc nulls last, created_at
   limit 1 for update skip locked;
  is_supplied := found;
  -- The lock keeps the owner from being disabled or deleted meanwhile, and two first tenants from both being the default. A
  -- transaction that only finds that a database has to be built takes none: it writes nothing, and its commit waits for no disk.
  if is_supplied then
    perform from users where id = owner and disabled_at is null for no key update;
  else
    perform from users where id = owner and disabled_at is null;
  end if;
  if not found then
    raise exception 'owner unknown or disabled' using errcode = 'T2F01';
  end if;
  if not is_supplied then
    return;
  end if;

  update tenant_databases set state = 'assigned', lease_owner = null, lease_expires_at = null, reserved_for = null
   where id = taken;

  insert into tenants (id, slug, name, contact_email, max_users, database_id, created_by)
    values (new_id, new_slug, new_name, new_contact_email, new_max_users, taken, owner)
    returning * into created;
  insert into user_tenants (user_id, tenant_id, is_default)
    values (owner, new_id, not exists (select from user_tenants where user_id = owner));
  insert into user_tenant_roles (user_id, tenant_id, role_id)
    select owner, new_id, id from roles where tenant_id is null and name = 'Owner';
  if not found then
    raise exception 'the built-in role Owner is missing' using errcode = 'T2F02';
  end if;
  insert into audit_log (actor_id, tenant_id, action, subject, after)
    values (actor, new_id, 'tenant.create', 'tenant:' || new_id,
      jsonb_build_object('slug', new_slug, 'name', new_name, 'owner', owner, 'databaseId', taken, 'maxUsers', new_max_users));
  return next created;
end $$;

-- Roles that are given in the transaction of their membership raise nothing: its own trigger has raised the epoch of the whole
-- user already. `created_at` is the start of the transaction, and guards against an old row whose number has come round again.
create or replace function member_access_epoch() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform bump_member_epoch(user_id, tenant_id) from (
      select distinct user_id, tenant_id from new_rows
      where not exists (
        select from user_tenants as membership
        where membership.user_id = new_rows.user_id and membership.tenant_id = new_rows.tenant_id
          and membership.xmin = pg_current_xact_id()::xid and membership.created_at = now()
      ) order by user_id, tenant_id
    ) as members;
  elsif tg_op = 'DELETE' then
    perform bump_member_epoch(user_id, tenant_id) from (
      select distinct user_id, tenant_id from old_rows
      where exists (
        select from user_tenants as membership
        where membership.user_id = old_rows.user_id and membership.tenant_id = old_rows.tenant_id
      ) order by user_id, tenant_id
    ) as members;
  else
    perform bump_member_epoch(user_id, tenant_id) from (
      select user_id, tenant_id from new_rows union select user_id, tenant_id from old_rows order by user_id, tenant_id
    ) as members;
  end if;
  return null;
end $$;
