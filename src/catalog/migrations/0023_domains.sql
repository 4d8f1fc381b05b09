-- Domains of tenants: hosts that requests come by, and domains of e-mail addresses whose owners may join. Each is proven by a DNS
-- record of its own. Several tenants may ask for one; it counts for one.
create table tenant_domains (
  id uuid primary key,
  tenant_id uuid not null references tenants (id) on delete cascade,
  purpose text not null check (purpose in ('web', 'email')),
  name text not null check (name ~ '^[a-z0-9.-]{3,253}$'),
  challenge text not null check (length(challenge) between 40 and 100),
  state text not null default 'pending' check (state in ('pending', 'proven', 'failing', 'lapsed')),
  -- Of e-mail domains: what those who join get, and who decided that; null: an operator. No reference: without the user, nobody
  -- gives the roles any more, and the domain stays.
  role_ids uuid[] not null default '{}',
  roles_by uuid,
  proven_at timestamptz,
  checked_at timestamptz,
  failing_since timestamptz,
  next_check_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (tenant_id, purpose, name),
  check ((state in ('proven', 'failing')) = (next_check_at is not null)),
  check ((state = 'failing') = (failing_since is not null))
);
create unique index tenant_domains_proven_key on tenant_domains (purpose, name) where state in ('proven', 'failing');
create index tenant_domains_due_idx on tenant_domains (next_check_at) where next_check_at is not null;
create trigger tenant_domains_updated_at before update on tenant_domains for each row execute function set_updated_at();

-- Processes that know the host, or know that it names nobody, ask again.
create function tenant_domains_changed() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    if old.purpose = 'web' and old.next_check_at is not null then
      perform announce_change('w:' || old.name);
    end if;
  elsif new.purpose = 'web' and (old.next_check_at is null) <> (new.next_check_at is null) then
    perform announce_change('w:' || new.name);
  end if;
  return null;
end $$;
create trigger tenant_domains_changed after update or delete on tenant_domains
  for each row execute function tenant_domains_changed();

-- What a look at the DNS found, written with its audit entry in one statement. `outcome`: `proven`, `missing`, `taken` (the name
-- counts for another tenant) or `gone` (removed meanwhile, or its tenant is deleted).
create function settle_domain(which uuid, value text, was_found boolean, actor uuid, out outcome text, out domain tenant_domains)
language plpgsql set lock_timeout = '5s' as $$
declare
  before text;
  act text;
begin
  outcome := 'gone';
  perform from tenants where id = (select tenant_id from tenant_domains where id = which) and status <> 'deleted' for no key update;
  if not found then
    return;
  end if;
  select * into domain from tenant_domains where id = which and challenge = value for update;
  if not found then
    return;
  end if;
  before := domain.state;
  if was_found then
    outcome := 'proven';
    if before in ('pending', 'lapsed') then
      -- Two tenants that prove one name at once: the second one sees what the first has written.
      perform pg_advisory_xact_lock(7205023, hashtext(domain.purpose || ':' || domain.name));
      if exists (
        select from tenant_domains as other
        where other.purpose = domain.purpose and other.name = domain.name and other.next_check_at is not null
      ) then
        outcome := 'taken';
        return;
      end if;
      act := 'domain.prove';
    elsif before = 'failing' then
      act := 'domain.recover';
    end if;
    update tenant_domains set state = 'proven', checked_at = now(), failing_since = null,
        proven_at = case when before in ('pending', 'lapsed') then now() else proven_at end,
        next_check_at = now() + interval '24 hours'
      where id = which returning * into domain;
  else
    outcome := 'missing';
    if before = 'proven' then
      act := 'domain.fail';
    elsif before = 'failing' and domain.failing_since <= now() - interval '72 hours' then
      act := 'domain.lapse';
    end if;
    update tenant_domains set checked_at = now(),
        state = case act when 'domain.fail' then 'failing' when 'domain.lapse' then 'lapsed' else state end,
        failing_since = case act when 'domain.fail' then now() when 'domain.lapse' then null else failing_since end,
        next_check_at = case when before in ('proven', 'failing') and act is distinct from 'domain.lapse'
          then now() + interval '1 hour' end
      where id = which returning * into domain;
  end if;
  if act is not null then
    insert into audit_log (actor_id, tenant_id, action, subject, before, after)
      values (actor, domain.tenant_id, act, 'domain:' || domain.id, jsonb_build_object('state', before),
        jsonb_build_object('name', domain.name, 'purpose', domain.purpose, 'state', domain.state));
  end if;
end $$;

-- Whom an administrator has removed. They come back by an invitation, never by the domain of their address.
create table removed_members (
  tenant_id uuid not null references tenants (id) on delete cascade,
  user_id uuid not null references users (id) on delete cascade,
  created_at timestamptz not null default now(),
  primary key (tenant_id, user_id)
);
create index removed_members_user_id_idx on removed_members (user_id);

-- By the entry, which every version writes.
create function audit_log_removed() returns trigger language plpgsql as $$
begin
  insert into removed_members (tenant_id, user_id)
    select tenants.id, users.id from tenants cross join users
    where tenants.id = new.tenant_id and new.subject = 'user:' || users.id
      and users.id = case when new.subject ~ '^user:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then substr(new.subject, 6)::uuid end
    on conflict do nothing;
  return null;
end $$;
create trigger audit_log_removed after insert on audit_log for each row
  when (new.action = 'member.remove' and new.tenant_id is not null and new.subject is distinct from 'user:' || new.actor_id)
  execute function audit_log_removed();
insert into removed_members (tenant_id, user_id)
  select distinct tenants.id, users.id from audit_log as entry
  join tenants on tenants.id = entry.tenant_id
  join users on entry.subject = 'user:' || users.id
  where entry.action = 'member.remove' and entry.subject is distinct from 'user:' || entry.actor_id;

-- Tells whether a role is Owner or Admin, or comes to include one of them.
create function leads_to_admin(given uuid[]) returns boolean language sql stable as $$
  with recursive reached (role_id) as (
    select unnest(given)
    union
    select inclusion.included_role_id from reached join role_inclusions as inclusion on inclusion.role_id = reached.role_id
  )
  select exists (
    select from reached join roles on roles.id = role_id where roles.tenant_id is null and roles.name in ('Owner', 'Admin')
  )
$$;

-- Makes a user a member by the domain of their proven address. Locks as accept_invitation does. `invalid` is the one answer to
-- everybody who may not join, for whatever reason.
create function join_by_domain(target uuid, who uuid, out outcome text, out tenant tenants, out members integer, out joined user_tenants)
language plpgsql set lock_timeout = '5s' as $$
declare
  own tenant_domains;
  given_ids uuid[];
  given_names text[];
  lacks integer;
begin
  outcome := 'invalid';
  select * into tenant from tenants where id = target for no key update;
  if not found or tenant.status <> 'active' then
    return;
  end if;
  select domain.* into own from tenant_domains as domain
    where domain.tenant_id = target and domain.purpose = 'email' and domain.state = 'proven' and domain.name = (
      select split_part(plain_address(email), '@', 2) from users where id = who
    ) for share;
  if not found then
    return;
  end if;
  perform from roles where id = any (own.role_ids) order by id for share;
  perform from users where id = who and disabled_at is null and email_verified
    and split_part(plain_address(email), '@', 2) = own.name for no key update;
  if not found or exists (select from removed_members where tenant_id = target and user_id = who) then
    return;
  end if;
  if exists (select from user_tenants where tenant_id = target and user_id = who) then
    outcome := 'member';
    return;
  end if;
  select coalesce(array_agg(id order by name), '{}'), coalesce(array_agg(name order by name), '{}') into given_ids, given_names
    from roles where id = any (own.role_ids) and (tenant_id is null or tenant_id = target);
  -- A role may have come to include Admin since.
  if leads_to_admin(given_ids) then
    return;
  end if;
  if own.roles_by is not null then
    select cardinality(missing_permissions || missing_roles) into lacks
      from missing_access(target, own.roles_by, given_names, '{}', null);
    if lacks is distinct from 0 then
      return;
    end if;
  end if;
  select count(*) into members from user_tenants where tenant_id = target;
  if members >= tenant.max_users then
    outcome := 'full';
    return;
  end if;
  insert into user_tenants (user_id, tenant_id, is_default)
    values (who, target, not exists (select from user_tenants where user_id = who)) returning * into joined;
  insert into user_tenant_roles (user_id, tenant_id, role_id) select who, target, unnest(given_ids);
  insert into audit_log (actor_id, tenant_id, action, subject, after)
    values (who, target, 'member.join', 'user:' || who,
      jsonb_build_object('domain', own.name, 'roles', given_names, 'isDefault', joined.is_default));
  outcome := 'joined';
end $$;
