-- The life of tenant databases and the creation of tenants, as functions: one call is one transaction in one round trip.

-- A database built for one caller alone; nobody else may take it while its lease lasts.
alter table tenant_databases add column reserved_for uuid;

-- Announces a build before its DDL. With a target it does so only while the stock lacks a database, and answers false
-- otherwise; builders of several processes are counted one after the other.
create function begin_database_build(
  new_id uuid, server uuid, new_name text, new_role text, version text, owner text, lease_ms integer,
  reserve_for uuid, target integer
) returns boolean language plpgsql as $$
begin
  if target is not null then
    perform pg_advisory_xact_lock(7205002, hashtext(server::text));
    if target <= (
      select count(*) from tenant_databases
       where server_id = server and template_version = version
         and ((state = 'building' and reserved_for is null and lease_expires_at > now())
           or (state = 'ready' and (reserved_for is null or lease_expires_at <= now())))
    ) then
      return false;
    end if;
  end if;
  insert into tenant_databases (id, server_id, name, role_name, template_version, lease_owner, lease_expires_at, reserved_for)
    values (new_id, server, new_name, new_role, version, owner, now() + make_interval(secs => lease_ms / 1000.0), reserve_for);
  return true;
end $$;

-- Creates a tenant on a ready database, with its owner's membership and the audit entry. No row: nothing is ready.
-- Raises unique_violation on tenants_slug_key, and T2F01 when the owner does not exist or is disabled.
create function create_tenant(
  new_id uuid, new_slug text, new_name text, new_contact_email text, new_max_users integer,
  owner uuid, actor uuid, version text, reservation uuid
) returns setof tenants language plpgsql as $$
declare
  created tenants;
  taken uuid;
begin
  -- Creators of one slug wait here for each other, so that only one of them takes a database.
  perform pg_advisory_xact_lock(7205003, hashtext(new_slug));
  if exists (select from tenants where slug = new_slug) then
    raise unique_violation using message = 'slug taken', constraint = 'tenants_slug_key';
  end if;
  -- The lock keeps the owner from being disabled or deleted meanwhile, and two first tenants from both being the default.
  perform from users where id = owner and disabled_at is null for no key update;
  if not found then
    raise exception 'owner unknown or disabled' using errcode = 'T2F01';
  end if;

  select id into taken from tenant_databases
   where state = 'ready' and template_version = version
     and (reserved_for is null or reserved_for = reservation or lease_expires_at <= now())
   order by reserved_for = reservation desc nulls last, created_at
   limit 1 for update skip locked;
  if not found then
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
