-- As before. Somebody who proves a name that counts for another tenant shows that it may have changed hands: the other one's record is
-- looked for at once, not up to 24 hours later.
create or replace function settle_domain(which uuid, value text, was_found boolean, actor uuid, out outcome text, out domain tenant_domains)
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
      update tenant_domains as other set next_check_at = least(other.next_check_at, now())
        where other.purpose = domain.purpose and other.name = domain.name and other.next_check_at is not null;
      if found then
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

-- As before. Whoever gave the domain its roles must hold them for good, as for an invitation: what they hold for a while is not given for
-- ever.
create or replace function join_by_domain(target uuid, who uuid, out outcome text, out tenant tenants, out members integer, out joined user_tenants)
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
      from missing_access(target, own.roles_by, given_names, '{}', null, 'infinity');
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
