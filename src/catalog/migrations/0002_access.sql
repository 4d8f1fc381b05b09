-- What members may do: permissions, route rules, roles, grants, direct overrides; and the epochs they raise.

create table permission_categories (
  name text primary key check (length(name) between 1 and 100),
  description text not null default '',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table permissions (
  -- Used as a bit position in a member's compiled access: small numbers, without gaps where that can be had.
  id integer generated always as identity primary key,
  name text not null unique check (name ~ '^[a-z][a-z0-9_-]{0,62}:[a-z][a-z0-9_-]{0,62}$'),
  description text not null default '',
  category text references permission_categories on update cascade on delete set null,
  is_active boolean not null default true,
  -- Ships with the application's access definition.
  is_system boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table route_rules (
  id integer generated always as identity primary key,
  method text not null check (method ~ '^([A-Z]{1,20}|[*])$'),
  -- A template: literal segments and {param} segments, each of which stands for exactly one segment.
  path text not null check (path ~ '^/' and length(path) <= 1000),
  permission_id integer not null references permissions on delete cascade,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (method, path, permission_id)
);
create index route_rules_permission_id_idx on route_rules (permission_id);

create table roles (
  id uuid primary key default gen_random_uuid(),
  -- null: built in, the same for every tenant.
  tenant_id uuid references tenants on delete cascade,
  name text not null check (length(name) between 1 and 100 and name = btrim(name)),
  description text not null default '',
  is_active boolean not null default true,
  is_system boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check (tenant_id is null or not is_system)
);
create unique index roles_built_in_name_key on roles (lower(name)) where tenant_id is null;
create unique index roles_tenant_name_key on roles (tenant_id, lower(name)) where tenant_id is not null;

create table role_permissions (
  role_id uuid not null references roles on delete cascade,
  permission_id integer not null references permissions on delete cascade,
  created_at timestamptz not null default now(),
  primary key (role_id, permission_id)
);
create index role_permissions_permission_id_idx on role_permissions (permission_id);

create table user_tenant_roles (
  user_id uuid not null,
  tenant_id uuid not null,
  role_id uuid not null references roles on delete cascade,
  created_at timestamptz not null default now(),
  primary key (user_id, tenant_id, role_id),
  foreign key (user_id, tenant_id) references user_tenants (user_id, tenant_id) on update cascade on delete cascade
);
create index user_tenant_roles_tenant_role_idx on user_tenant_roles (tenant_id, role_id);
create index user_tenant_roles_role_id_idx on user_tenant_roles (role_id);

-- Direct overrides: a deny wins over every allow, an allow adds to what the roles give.
create table user_tenant_permissions (
  user_id uuid not null,
  tenant_id uuid not null,
  permission_id integer not null references permissions on delete cascade,
  effect text not null check (effect in ('allow', 'deny')),
  -- From this moment on the override counts for nothing. null: never.
  expires_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, tenant_id, permission_id),
  foreign key (user_id, tenant_id) references user_tenants (user_id, tenant_id) on update cascade on delete cascade
);
create index user_tenant_permissions_permission_id_idx on user_tenant_permissions (permission_id);

-- What the access definition has put in, once each: a later run leaves alone what an administrator changed or removed.
create table access_seed_entries (
  entry text primary key,
  created_at timestamptz not null default now()
);

create trigger permission_categories_updated_at before update on permission_categories
  for each row execute function set_updated_at();
create trigger permissions_updated_at before update on permissions for each row execute function set_updated_at();
create trigger route_rules_updated_at before update on route_rules for each row execute function set_updated_at();
create trigger roles_updated_at before update on roles for each row execute function set_updated_at();
create trigger user_tenant_permissions_updated_at before update on user_tenant_permissions
  for each row execute function set_updated_at();

-- A tenant's own role may not pass for a built-in one (requireRole goes by name). The lock keeps a built-in role and a
-- tenant's role of the same name from being made at the same moment.
create function roles_check() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and new.tenant_id is distinct from old.tenant_id then
    raise exception 'a role stays with its tenant' using errcode = '23514', constraint = 'roles_tenant_fixed';
  end if;
  if new.tenant_id is null then
    perform pg_advisory_xact_lock(7230951, 1);
    if exists (select from roles where tenant_id is not null and lower(name) = lower(new.name)) then
      raise exception 'a tenant has a role of this name' using errcode = '23505', constraint = 'roles_built_in_name';
    end if;
  else
    perform pg_advisory_xact_lock_shared(7230951, 1);
    if exists (select from roles where tenant_id is null and lower(name) = lower(new.name)) then
      raise exception 'a built-in role has this name' using errcode = '23505', constraint = 'roles_built_in_name';
    end if;
  end if;
  return new;
end $$;
create trigger roles_check before insert or update of name, tenant_id on roles
  for each row execute function roles_check();

create function user_tenant_roles_check() returns trigger language plpgsql as $$
begin
  if exists (select from roles where id = new.role_id and tenant_id <> new.tenant_id) then
    raise exception 'the role belongs to another tenant'
      using errcode = '23503', constraint = 'user_tenant_roles_same_tenant';
  end if;
  return new;
end $$;
create trigger user_tenant_roles_check before insert or update on user_tenant_roles
  for each row execute function user_tenant_roles_check();

-- Owner is part of the structure: whoever creates a tenant becomes one, and a tenant keeps at least one.
insert into roles (name, description, is_system) values ('Owner', 'Holds every permission; a tenant keeps at least one', true);

-- Epochs. Statement-level with transition tables: one statement raises each epoch once, and a statement that changes
-- nothing raises none. TRUNCATE gives no rows to look at, so it raises the rules epoch, which concerns everybody.

create function access_truncated() returns trigger language plpgsql as $$
begin
  perform bump_rules_epoch();
  return null;
end $$;
create trigger permissions_truncated after truncate on permissions
  for each statement execute function access_truncated();
create trigger route_rules_truncated after truncate on route_rules
  for each statement execute function access_truncated();
create trigger roles_truncated after truncate on roles for each statement execute function access_truncated();
create trigger role_permissions_truncated after truncate on role_permissions
  for each statement execute function access_truncated();
create trigger user_tenant_roles_truncated after truncate on user_tenant_roles
  for each statement execute function access_truncated();
create trigger user_tenant_permissions_truncated after truncate on user_tenant_permissions
  for each statement execute function access_truncated();

create function rules_inserted() returns trigger language plpgsql as $$
begin
  if exists (select from new_rows) then perform bump_rules_epoch(); end if;
  return null;
end $$;
create function rules_deleted() returns trigger language plpgsql as $$
begin
  if exists (select from old_rows) then perform bump_rules_epoch(); end if;
  return null;
end $$;

create function permissions_changed() returns trigger language plpgsql as $$
begin
  if exists (select id, name, is_active from new_rows except select id, name, is_active from old_rows) then
    perform bump_rules_epoch();
  end if;
  return null;
end $$;
create trigger permissions_inserted after insert on permissions referencing new table as new_rows
  for each statement execute function rules_inserted();
create trigger permissions_changed after update on permissions referencing old table as old_rows new table as new_rows
  for each statement execute function permissions_changed();
create trigger permissions_deleted after delete on permissions referencing old table as old_rows
  for each statement execute function rules_deleted();

create function route_rules_changed() returns trigger language plpgsql as $$
begin
  if exists (
    select id, method, path, permission_id, is_active from new_rows
    except select id, method, path, permission_id, is_active from old_rows
  ) then
    perform bump_rules_epoch();
  end if;
  return null;
end $$;
create trigger route_rules_inserted after insert on route_rules referencing new table as new_rows
  for each statement execute function rules_inserted();
create trigger route_rules_changed after update on route_rules referencing old table as old_rows new table as new_rows
  for each statement execute function route_rules_changed();
create trigger route_rules_deleted after delete on route_rules referencing old table as old_rows
  for each statement execute function rules_deleted();

-- Raises the epoch of each role owner: the rules epoch for built-in roles (null), the tenant's for a tenant's own.
create function bump_role_owners(owners uuid[]) returns void language plpgsql as $$
begin
  if array_position(owners, null) is not null then perform bump_rules_epoch(); end if;
  perform bump_tenant_epoch(owner)
    from (select distinct owner from unnest(owners) as owner where owner is not null order by owner) as tenant_owners;
end $$;

create function roles_epoch() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform bump_role_owners(array(select tenant_id from new_rows));
  elsif tg_op = 'DELETE' then
    perform bump_role_owners(array(select tenant_id from old_rows));
  else
    perform bump_role_owners(array(
      select tenant_id from (
        select id, tenant_id, name, is_active from new_rows except select id, tenant_id, name, is_active from old_rows
      ) as changed
    ));
  end if;
  return null;
end $$;
create trigger roles_inserted after insert on roles referencing new table as new_rows
  for each statement execute function roles_epoch();
create trigger roles_changed after update on roles referencing old table as old_rows new table as new_rows
  for each statement execute function roles_epoch();
create trigger roles_deleted after delete on roles referencing old table as old_rows
  for each statement execute function roles_epoch();

-- The grants of a role that is itself being deleted are covered by the role's own trigger.
create function role_permissions_epoch() returns trigger language plpgsql as $$
begin
  if tg_op <> 'DELETE' then
    perform bump_role_owners(array(select roles.tenant_id from new_rows join roles on roles.id = new_rows.role_id));
  end if;
  if tg_op <> 'INSERT' then
    perform bump_role_owners(array(select roles.tenant_id from old_rows join roles on roles.id = old_rows.role_id));
  end if;
  return null;
end $$;
create trigger role_permissions_inserted after insert on role_permissions referencing new table as new_rows
  for each statement execute function role_permissions_epoch();
create trigger role_permissions_changed after update on role_permissions
  referencing old table as old_rows new table as new_rows
  for each statement execute function role_permissions_epoch();
create trigger role_permissions_deleted after delete on role_permissions referencing old table as old_rows
  for each statement execute function role_permissions_epoch();

-- A member's roles and overrides concern one user: the user's epoch.
create function member_access_epoch() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform bump_user_epoch(user_id) from (select distinct user_id from new_rows order by user_id) as members;
  elsif tg_op = 'DELETE' then
    perform bump_user_epoch(user_id) from (select distinct user_id from old_rows order by user_id) as members;
  else
    perform bump_user_epoch(user_id)
      from (select user_id from new_rows union select user_id from old_rows order by user_id) as members;
  end if;
  return null;
end $$;
create trigger user_tenant_roles_inserted after insert on user_tenant_roles referencing new table as new_rows
  for each statement execute function member_access_epoch();
create trigger user_tenant_roles_changed after update on user_tenant_roles
  referencing old table as old_rows new table as new_rows
  for each statement execute function member_access_epoch();
create trigger user_tenant_roles_deleted after delete on user_tenant_roles referencing old table as old_rows
  for each statement execute function member_access_epoch();
create trigger user_tenant_permissions_inserted after insert on user_tenant_permissions
  referencing new table as new_rows for each statement execute function member_access_epoch();
create trigger user_tenant_permissions_changed after update on user_tenant_permissions
  referencing old table as old_rows new table as new_rows
  for each statement execute function member_access_epoch();
create trigger user_tenant_permissions_deleted after delete on user_tenant_permissions
  referencing old table as old_rows for each statement execute function member_access_epoch();
