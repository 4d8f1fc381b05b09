-- Former slugs. A tenant that is renamed keeps its old slug for a while: requests by it find the tenant, and nobody else can
-- have it.
create table tenant_slug_aliases (
  slug text primary key,
  tenant_id uuid not null references tenants (id) on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  constraint tenant_slug_aliases_slug_check check (slug ~ '^[a-z][a-z0-9-]{1,38}[a-z0-9]$')
);
create index tenant_slug_aliases_tenant_id_idx on tenant_slug_aliases (tenant_id);

-- After the row is written, and so after the wait for a transaction that gives this slug up: its alias is visible by now.
create function tenants_slug_free() returns trigger language plpgsql as $$
begin
  delete from tenant_slug_aliases where slug = new.slug and (tenant_id = new.id or expires_at <= now());
  if exists (select from tenant_slug_aliases where slug = new.slug) then
    raise unique_violation using message = 'slug taken', constraint = 'tenants_slug_key';
  end if;
  return null;
end $$;
create trigger tenants_slug_free after insert on tenants
  for each row execute function tenants_slug_free();
create trigger tenants_slug_free_again after update of slug on tenants
  for each row when (new.slug <> old.slug) execute function tenants_slug_free();

-- What was found by the alias is not found any more.
create function tenant_slug_aliases_epoch() returns trigger language plpgsql as $$
begin
  perform bump_tenant_epoch(old.tenant_id);
  return null;
end $$;
create trigger tenant_slug_aliases_epoch after delete on tenant_slug_aliases
  for each row execute function tenant_slug_aliases_epoch();

-- As before. An alias refuses the slug before a database is built for it.
create or replace function create_tenant(
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
  if exists (select from tenants where slug = new_slug)
    or exists (select from tenant_slug_aliases where slug = new_slug and expires_at > now())
  then
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

-- The personal parts of entries of the audit log. An entry has a salted digest instead, under the hash of its chain. So the
-- parts can go, with the user, while the chain stays as it is; what is left tells nothing about the person.
create table audit_personal (
  digest bytea primary key,
  user_id uuid not null references users (id) on delete cascade,
  salt uuid not null,
  facts jsonb not null
);
create index audit_personal_user_id_idx on audit_personal (user_id);

-- Rows go with their user only.
create function audit_personal_is_kept() returns trigger language plpgsql as $$
begin
  if tg_op <> 'DELETE' or pg_trigger_depth() < 2 then
    raise exception 'audit_personal is append-only' using errcode = '0A000';
  end if;
  return null;
end $$;
create trigger audit_personal_kept before update or delete or truncate on audit_personal
  for each statement execute function audit_personal_is_kept();

-- Puts a digest in the place of facts that tell who a user is, and keeps them aside while there is such a user.
create function audit_without_person(who uuid, facts jsonb) returns jsonb language plpgsql as $$
declare
  personal jsonb;
  salt uuid := gen_random_uuid();
  digest bytea;
begin
  select jsonb_object_agg(key, value) into personal from jsonb_each(facts) where key in ('email', 'name', 'image', 'subject');
  if personal is null then
    return facts;
  end if;
  digest := sha256(convert_to(salt || personal::text, 'UTF8'));
  insert into audit_personal (digest, user_id, salt, facts)
    select digest, id, salt, personal from users where id = who for key share;
  return (facts - array['email', 'name', 'image', 'subject'])
    || jsonb_build_object('tenants2fast.personal', encode(digest, 'hex'));
end $$;

create or replace function users_audit() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform audit_change('user.create', 'user:' || new.id, null, audit_without_person(new.id, user_facts(new)));
  elsif tg_op = 'DELETE' then
    perform audit_change('user.delete', 'user:' || old.id, null, null);
  else
    perform audit_change('user.update', 'user:' || new.id,
      audit_without_person(new.id, audit_difference(user_facts(old), user_facts(new))),
      audit_without_person(new.id, audit_difference(user_facts(new), user_facts(old))));
  end if;
  return null;
end $$;

create or replace function user_identities_audit() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform audit_change('user.identity.unlink', 'user:' || old.user_id,
      audit_without_person(old.user_id, jsonb_build_object('issuer', old.issuer, 'subject', old.subject)), null);
  end if;
  if tg_op <> 'DELETE' then
    perform audit_change('user.identity.link', 'user:' || new.user_id, null,
      audit_without_person(new.user_id, jsonb_build_object('issuer', new.issuer, 'subject', new.subject)));
  end if;
  return null;
end $$;

-- Registrations and invitations for the address of a user who is deleted go, too: they have the address.
create function users_erased() returns trigger language plpgsql as $$
begin
  delete from user_registrations where email = plain_address(old.email);
  delete from invitations where email = plain_address(old.email);
  return null;
end $$;
create trigger users_erased after delete on users
  for each row execute function users_erased();

-- Subscriptions to what is in the audit log. One process at a time works on each, under a lease.
create table event_subscriptions (
  name text primary key,
  holder uuid,
  held_until timestamptz,
  created_at timestamptz not null default now(),
  constraint event_subscriptions_name_check check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$')
);

-- Up to which entry of each chain a subscription has been told; no row: nothing yet. A chain grows in the order of the commits,
-- because its head is locked until then, so no entry is missed.
create table event_positions (
  subscription text not null references event_subscriptions (name) on delete cascade,
  chain_id uuid not null,
  seq bigint not null,
  primary key (subscription, chain_id)
);
