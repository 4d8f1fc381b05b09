-- Labels choose tenants for a run over the fleet. Each is 1 to 63 letters, digits, '.', '_' or '-'. The default is not written
-- to the rows that are there, so the table is not rewritten.
alter table tenants add column labels text[] not null default '{}';
alter table tenants add constraint tenants_labels_check check (
  cardinality(labels) <= 50 and array_position(labels, null) is null
  and array_to_string(labels, '') ~ '^[A-Za-z0-9._-]*$'
  and (labels = '{}' or array_to_string(labels, ' ') ~ '^[A-Za-z0-9._-]{1,63}( [A-Za-z0-9._-]{1,63})*$')
) not valid;
alter table tenants validate constraint tenants_labels_check;
create index tenants_labels_idx on tenants using gin (labels);

-- As before, with labels. The form without them stays for processes of the release before.
create function create_tenant(
  new_id uuid, new_slug text, new_name text, new_contact_email text, new_max_users integer,
  owner uuid, actor uuid, version text, reservation uuid, new_labels text[]
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

  insert into tenants (id, slug, name, contact_email, max_users, database_id, created_by, labels)
    values (new_id, new_slug, new_name, new_contact_email, new_max_users, taken, owner, new_labels)
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
      jsonb_build_object('slug', new_slug, 'name', new_name, 'owner', owner, 'databaseId', taken, 'maxUsers', new_max_users)
        || case when cardinality(new_labels) > 0 then jsonb_build_object('labels', new_labels) else '{}' end);
  return next created;
end $$;

create or replace function create_tenant(
  new_id uuid, new_slug text, new_name text, new_contact_email text, new_max_users integer,
  owner uuid, actor uuid, version text, reservation uuid
) returns setof tenants language sql as $$
  select * from create_tenant(
    new_id, new_slug, new_name, new_contact_email, new_max_users, owner, actor, version, reservation, array[]::text[])
$$;

-- The last failure of a database's migration. The row goes when a migration up to `wanted_version` has succeeded. A table of
-- its own: failures come in waves, and rows of tenant_databases are read with each connection.
create table tenant_migration_failures (
  database_id uuid primary key references tenant_databases on delete cascade,
  wanted_version bigint not null,
  code text not null,
  message text not null,
  file text,
  attempts integer not null default 1,
  failed_at timestamptz not null default now(),
  constraint tenant_migration_failures_attempts_check check (attempts >= 1)
);

-- A new schema version counts as a change of the tenant, because guards read it with the member, and is announced by itself,
-- as `d:<database id>:<version>`: connections to that database, in every process, know the schema as it was.
create or replace function tenant_databases_epoch() returns trigger language plpgsql as $$
begin
  if (new.epoch, new.name, new.role_name, new.server_id, new.schema_version)
    is distinct from (old.epoch, old.name, old.role_name, old.server_id, old.schema_version)
  then
    perform bump_tenant_epoch(tenants.id) from tenants where tenants.database_id = new.id;
    if found and new.schema_version is distinct from old.schema_version and new.schema_version is not null then
      perform announce_change('d:' || new.id || ':' || new.schema_version);
    end if;
  end if;
  return null;
end $$;
