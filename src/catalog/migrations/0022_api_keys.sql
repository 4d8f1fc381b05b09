-- Service accounts of a tenant: what owns API keys, so that a key does not go with the person who made it.
create table service_accounts (
  id uuid primary key,
  tenant_id uuid not null references tenants (id) on delete cascade,
  name text not null check (length(name) between 1 and 200),
  is_active boolean not null default true,
  created_by uuid references users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (tenant_id, name),
  unique (tenant_id, id)
);
create index service_accounts_created_by_idx on service_accounts (created_by);
create trigger service_accounts_updated_at before update on service_accounts
  for each row execute function set_updated_at();

-- API keys: only hashes of their texts. `responsible_id` is the member whose permissions bound those of the key: who made it, or
-- changed its permissions or its secret last. Null: the Owners, who hold everything.
create table api_keys (
  id uuid primary key,
  tenant_id uuid not null,
  service_account_id uuid not null,
  name text not null check (length(name) between 1 and 200),
  prefix text not null check (prefix ~ '^t2f_[0-9A-Za-z]{8}$'),
  secret_hash bytea not null unique check (length(secret_hash) = 32),
  -- After a rotation, the secret before works until this moment.
  previous_hash bytea unique check (length(previous_hash) = 32),
  previous_ends_at timestamptz,
  permission_ids integer[] not null,
  responsible_id uuid,
  created_by uuid references users (id) on delete set null,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((previous_hash is null) = (previous_ends_at is null)),
  foreign key (tenant_id, service_account_id) references service_accounts (tenant_id, id) on delete cascade,
  foreign key (responsible_id, tenant_id) references user_tenants (user_id, tenant_id)
    on update cascade on delete set null (responsible_id)
);
create index api_keys_tenant_id_idx on api_keys (tenant_id, id);
create index api_keys_service_account_idx on api_keys (tenant_id, service_account_id);
create index api_keys_responsible_idx on api_keys (responsible_id, tenant_id);
create index api_keys_created_by_idx on api_keys (created_by);
-- The moment of the last use is no change.
create trigger api_keys_updated_at before update of
    name, secret_hash, previous_hash, previous_ends_at, permission_ids, responsible_id, expires_at, revoked_at on api_keys
  for each row execute function set_updated_at();

-- A process caches a key by the epoch of its tenant. A new one is in no cache.
create function api_keys_epoch() returns trigger language plpgsql as $$
begin
  perform bump_tenant_epoch(old.tenant_id);
  return null;
end $$;
create trigger api_keys_epoch after delete or update of
    name, secret_hash, previous_hash, previous_ends_at, permission_ids, responsible_id, expires_at, revoked_at on api_keys
  for each row execute function api_keys_epoch();
create trigger service_accounts_epoch after update of name, is_active on service_accounts
  for each row execute function api_keys_epoch();

-- Whoever leaves leaves their keys to the Owners, with no more than they hold for good at this moment: otherwise somebody who has
-- lost a permission could bring it back into a key by leaving. Runs before the row goes, while its roles are still there.
create function user_tenants_keys_kept() returns trigger language plpgsql as $$
declare
  kept integer[];
begin
  -- A tenant that is being erased keeps nothing.
  if not exists (select from api_keys where tenant_id = old.tenant_id and responsible_id = old.user_id)
    or not exists (select from tenants where id = old.tenant_id)
  then
    return old;
  end if;
  with recursive reached (role_id) as (
    select role.id from user_tenant_roles as held
    join roles as role on role.id = held.role_id and role.is_active
    where held.user_id = old.user_id and held.tenant_id = old.tenant_id
    union
    select role.id from reached
    join role_inclusions as inclusion on inclusion.role_id = reached.role_id
    join roles as role on role.id = inclusion.included_role_id and role.is_active
  ), override as (
    select * from user_tenant_permissions where user_id = old.user_id and tenant_id = old.tenant_id
  )
  select coalesce(array_agg(permission_id), '{}') into kept from (
    select permission_id from role_permissions where role_id in (select role_id from reached)
    union
    select permission_id from override where effect = 'allow' and expires_at is null
    except
    select permission_id from override where effect = 'deny' and (expires_at is null or expires_at > now())
  ) as held;
  with passed as (
    update api_keys as key set responsible_id = null,
      permission_ids = array(select id from unnest(key.permission_ids) as id where id = any (kept) order by id)
    where tenant_id = old.tenant_id and responsible_id = old.user_id
    returning key.*
  )
  insert into audit_log (tenant_id, action, subject, before, after)
    select old.tenant_id, 'api-key.pass', 'api-key:' || passed.id, jsonb_build_object('responsible', old.user_id),
      jsonb_build_object('responsible', null, 'permissions', array(
        select name from permissions where id = any (passed.permission_ids) order by name))
    from passed where passed.revoked_at is null order by passed.id;
  return old;
end $$;
create trigger user_tenants_keys_kept before delete on user_tenants
  for each row execute function user_tenants_keys_kept();

-- Of a change that a service account makes, the entry has the key as well: under the hash, as everything in it, and not in a column
-- of its own, because processes of the release before compute the hash over the columns that they know. Runs before
-- audit_log_chain: triggers run in the order of their names.
create function audit_log_api_key() returns trigger language plpgsql as $$
begin
  if coalesce(jsonb_typeof(new.after), 'object') = 'object' then
    new.after := coalesce(new.after, '{}')
      || jsonb_build_object('tenants2fast.apiKey', current_setting('tenants2fast.api_key', true));
  end if;
  return new;
end $$;
create trigger audit_log_api_key before insert on audit_log for each row
  when (current_setting('tenants2fast.api_key', true) <> '') execute function audit_log_api_key();
