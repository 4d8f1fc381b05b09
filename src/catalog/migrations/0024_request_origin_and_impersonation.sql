-- Where changes over HTTP come from: the addresses in entries of the audit log. An entry has a salted digest, under the hash of its
-- chain, and the address is here, once for each person or service account, and goes with them.
create table audit_addresses (
  digest bytea primary key check (length(digest) = 32),
  user_id uuid references users (id) on delete cascade,
  service_account_id uuid references service_accounts (id) on delete cascade,
  salt uuid not null,
  address text not null check (length(address) between 1 and 64),
  check (num_nonnulls(user_id, service_account_id) = 1),
  unique (user_id, address),
  unique (service_account_id, address)
);

-- Rows go with whose address it is only.
create function audit_addresses_are_kept() returns trigger language plpgsql as $$
begin
  if tg_op <> 'DELETE' or pg_trigger_depth() < 2 then
    raise exception 'audit_addresses is append-only' using errcode = '0A000';
  end if;
  return null;
end $$;
create trigger audit_addresses_kept before update or delete or truncate on audit_addresses
  for each statement execute function audit_addresses_are_kept();

-- Keeps the address of a user or service account, and returns its digest; null: there is neither.
create function audit_address_digest(who uuid, new_address text) returns bytea language plpgsql as $$
declare
  found_digest bytea;
  new_salt uuid;
begin
  if who is null or new_address is null then
    return null;
  end if;
  for attempt in 1..2 loop
    select digest into found_digest from audit_addresses where user_id = who and address = new_address;
    if found_digest is null then
      select digest into found_digest from audit_addresses where service_account_id = who and address = new_address;
    end if;
    exit when found_digest is not null;
    new_salt := gen_random_uuid();
    insert into audit_addresses (digest, user_id, salt, address)
      select sha256(convert_to(new_salt || new_address, 'UTF8')), id, new_salt, new_address from users where id = who for key share
      on conflict do nothing returning digest into found_digest;
    exit when found_digest is not null;
    insert into audit_addresses (digest, service_account_id, salt, address)
      select sha256(convert_to(new_salt || new_address, 'UTF8')), id, new_salt, new_address
      from service_accounts where id = who for key share
      on conflict do nothing returning digest into found_digest;
    exit when found_digest is not null;
    -- Another transaction has written it meanwhile, or nobody has this id.
  end loop;
  return found_digest;
end $$;

-- Whose address it is that an entry has: the administrator's who acts as somebody else, the caller's, the actor's, or without
-- any that of the user whom the entry is about. Text that is no id is nobody: anything may be in an entry that was forged.
create function audit_address_owner(origin jsonb, actor uuid, subject text) returns uuid language sql immutable as $$
  select case when owner ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then owner::uuid end
  from (select coalesce(
    origin #>> '{impersonation,administrator}', origin ->> 'caller', actor::text,
    case when subject like 'user:%' then substr(subject, 6) end
  ) as owner) as found
$$;

-- An entry of a change over HTTP has the request's id, a digest of its address and, of an administrator who acts as a member, who
-- that is: under the hash, and in `after` for the reason that 0022 gives. Runs before audit_log_chain: triggers run in the order
-- of their names. What it locks is locked before the head of the chain, as erasing a user does.
create function audit_log_add_origin() returns trigger language plpgsql as $$
declare
  origin jsonb := current_setting('tenants2fast.origin', true)::jsonb;
  digest bytea;
begin
  if coalesce(jsonb_typeof(new.after), 'object') <> 'object' then
    return new;
  end if;
  digest := audit_address_digest(audit_address_owner(origin, new.actor_id, new.subject), origin ->> 'address');
  -- As a rule the caller is the actor.
  if (origin ->> 'caller') is not distinct from new.actor_id::text then
    origin := origin - 'caller';
  end if;
  origin := origin - 'address';
  if digest is not null then
    origin := origin || jsonb_build_object('address', encode(digest, 'hex'));
  end if;
  new.after := coalesce(new.after, '{}') || jsonb_build_object('tenants2fast.origin', origin);
  return new;
end $$;
create trigger audit_log_add_origin before insert on audit_log for each row
  when (current_setting('tenants2fast.origin', true) <> '') execute function audit_log_add_origin();

-- Administrators of the installation who act as a member of a tenant, for up to an hour. The id is that of the token (`jti`). Rows
-- stay, so that the tenant's Owners see them. No reference to the administrator: the row outlives them, with the id as a pseudonym.
create table impersonations (
  id uuid primary key,
  tenant_id uuid not null references tenants (id) on delete cascade,
  user_id uuid not null references users (id) on delete cascade,
  administrator_id uuid not null,
  -- The administrator's token epoch: whoever is logged out everywhere acts as nobody any more.
  administrator_epoch integer not null,
  reason text not null check (length(reason) between 1 and 500),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz,
  ended_by uuid,
  check (user_id <> administrator_id),
  check (expires_at > created_at and expires_at <= created_at + interval '1 hour'),
  check (ended_by is null or ended_at is not null)
);
create index impersonations_tenant_id_idx on impersonations (tenant_id, id);
create index impersonations_user_id_idx on impersonations (user_id);
