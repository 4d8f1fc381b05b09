-- The control plane: users, tenants, memberships, tenant databases, audit. Access rules follow in 0002,
-- signing keys in 0003, accounts in 0004.

create table installation (
  -- One row: the primary key can only be true.
  is_singleton boolean primary key default true check (is_singleton),
  id uuid not null default gen_random_uuid(),
  -- Says which TENANT_SECRET this catalog belongs to, without saying the secret: HMAC of a fixed text.
  secret_check text,
  -- Goes up with every change of permissions, route rules and built-in roles.
  rules_epoch bigint not null default 1,
  created_at timestamptz not null default now()
);
insert into installation default values;

create table users (
  id uuid primary key default gen_random_uuid(),
  email text not null check (email <> '' and length(email) <= 320),
  name text not null default '',
  image text,
  email_verified boolean not null default false,
  disabled_at timestamptz,
  -- Own access tokens carry this number and end when it goes up.
  token_epoch integer not null default 1,
  -- Foreign tokens issued before this moment are refused.
  tokens_valid_after timestamptz,
  access_epoch bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index users_email_key on users (lower(email));

create table user_identities (
  issuer text not null,
  subject text not null,
  user_id uuid not null references users on delete cascade,
  created_at timestamptz not null default now(),
  primary key (issuer, subject)
);
create index user_identities_user_id_idx on user_identities (user_id);

create table database_servers (
  id uuid primary key default gen_random_uuid(),
  name text not null unique,
  created_at timestamptz not null default now()
);

create table tenant_databases (
  id uuid primary key,
  server_id uuid not null references database_servers,
  name text not null,
  role_name text not null,
  state text not null default 'building' check (state in ('building', 'ready', 'assigned', 'retired')),
  epoch integer not null default 1,
  -- Which template (hash of the schema folder) the database was cloned from.
  template_version text not null default '',
  -- Who builds or drops it, and until when that may be believed (database clock).
  lease_owner text,
  lease_expires_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  retired_at timestamptz,
  unique (server_id, name),
  unique (server_id, role_name)
);
create index tenant_databases_state_idx on tenant_databases (state, created_at) where state <> 'assigned';

create table tenants (
  id uuid primary key,
  slug text not null unique check (slug ~ '^[a-z][a-z0-9-]{1,38}[a-z0-9]$'),
  name text not null check (length(name) between 1 and 200),
  status text not null default 'active' check (status in ('active', 'suspended', 'deleted')),
  contact_email text,
  max_users integer check (max_users >= 1),
  database_id uuid unique references tenant_databases,
  access_epoch bigint not null default 1,
  created_by uuid references users on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  suspended_at timestamptz,
  deleted_at timestamptz
);

create table user_tenants (
  user_id uuid not null references users on delete cascade,
  tenant_id uuid not null references tenants on delete cascade,
  is_active boolean not null default true,
  is_default boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, tenant_id)
);
create index user_tenants_tenant_id_idx on user_tenants (tenant_id);
create unique index user_tenants_default_key on user_tenants (user_id) where is_default;

create table audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  actor_id uuid,
  tenant_id uuid,
  action text not null,
  subject text,
  before jsonb,
  after jsonb
);
create index audit_log_tenant_id_idx on audit_log (tenant_id, id);

create function audit_log_is_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'audit_log is append-only' using errcode = '0A000';
end $$;
create trigger audit_log_append_only before update or delete or truncate on audit_log
  for each statement execute function audit_log_is_append_only();

create function set_updated_at() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end $$;
create trigger users_updated_at before update on users for each row execute function set_updated_at();
create trigger tenants_updated_at before update on tenants for each row execute function set_updated_at();
create trigger user_tenants_updated_at before update on user_tenants for each row execute function set_updated_at();
create trigger tenant_databases_updated_at before update on tenant_databases for each row execute function set_updated_at();

-- Epochs. Whatever decides over access bumps one, in its own transaction, and says so on commit:
-- 'u:<user id>:<epoch>', 't:<tenant id>:<epoch>' or 'r:<epoch>' on channel tenants2fast_epochs.

create function bump_user_epoch(target uuid) returns void language sql as $$
  with bumped as (update users set access_epoch = access_epoch + 1 where id = target returning id, access_epoch)
  select pg_notify('tenants2fast_epochs', 'u:' || id || ':' || access_epoch) from bumped
$$;

create function bump_tenant_epoch(target uuid) returns void language sql as $$
  with bumped as (update tenants set access_epoch = access_epoch + 1 where id = target returning id, access_epoch)
  select pg_notify('tenants2fast_epochs', 't:' || id || ':' || access_epoch) from bumped
$$;

create function bump_rules_epoch() returns void language sql as $$
  with bumped as (update installation set rules_epoch = rules_epoch + 1 returning rules_epoch)
  select pg_notify('tenants2fast_epochs', 'r:' || rules_epoch) from bumped
$$;

-- A row's own epoch is raised in the same write when one of its deciding columns changes.
create function users_epoch() returns trigger language plpgsql as $$
begin
  if (new.email, new.name, new.image, new.email_verified, new.disabled_at, new.token_epoch, new.tokens_valid_after)
    is distinct from
    (old.email, old.name, old.image, old.email_verified, old.disabled_at, old.token_epoch, old.tokens_valid_after)
  then
    new.access_epoch := greatest(new.access_epoch, old.access_epoch + 1);
    perform pg_notify('tenants2fast_epochs', 'u:' || new.id || ':' || new.access_epoch);
  end if;
  return new;
end $$;
create trigger users_epoch before update on users for each row execute function users_epoch();

create function users_deleted() returns trigger language plpgsql as $$
begin
  perform pg_notify('tenants2fast_epochs', 'u:' || old.id || ':' || old.access_epoch + 1);
  return old;
end $$;
create trigger users_deleted after delete on users for each row execute function users_deleted();

create function tenants_epoch() returns trigger language plpgsql as $$
begin
  if (new.slug, new.name, new.status, new.contact_email, new.max_users, new.database_id)
    is distinct from (old.slug, old.name, old.status, old.contact_email, old.max_users, old.database_id)
  then
    new.access_epoch := greatest(new.access_epoch, old.access_epoch + 1);
    perform pg_notify('tenants2fast_epochs', 't:' || new.id || ':' || new.access_epoch);
  end if;
  return new;
end $$;
create trigger tenants_epoch before update on tenants for each row execute function tenants_epoch();

create function tenants_deleted() returns trigger language plpgsql as $$
begin
  perform pg_notify('tenants2fast_epochs', 't:' || old.id || ':' || old.access_epoch + 1);
  return old;
end $$;
create trigger tenants_deleted after delete on tenants for each row execute function tenants_deleted();

-- A membership concerns one user in one tenant: the user's epoch is enough, and costs the other members nothing.
create function user_tenants_epoch() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform bump_user_epoch(old.user_id);
  end if;
  if tg_op = 'INSERT' or (tg_op = 'UPDATE' and new.user_id <> old.user_id) then
    perform bump_user_epoch(new.user_id);
  end if;
  return null;
end $$;
create trigger user_tenants_epoch after insert or update or delete on user_tenants
  for each row execute function user_tenants_epoch();

-- A tenant database that is restored or moved: its tenant's connections must be made anew.
create function tenant_databases_epoch() returns trigger language plpgsql as $$
begin
  if (new.epoch, new.name, new.role_name, new.server_id) is distinct from (old.epoch, old.name, old.role_name, old.server_id) then
    perform bump_tenant_epoch(tenants.id) from tenants where tenants.database_id = new.id;
  end if;
  return null;
end $$;
create trigger tenant_databases_epoch after update on tenant_databases
  for each row execute function tenant_databases_epoch();
