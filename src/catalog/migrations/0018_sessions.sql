-- Sessions: what their user sees of a login, and the tenant that its access tokens are for. No foreign key: the next refresh
-- notices that the tenant is gone, and says so.
alter table refresh_families
  add column in_cookie boolean not null default false,
  add column tenant_id uuid,
  add column user_agent text check (length(user_agent) <= 200),
  add column address text check (length(address) <= 60);

-- The id of a session as others see it. The family's own id is half of a refresh token: whoever knew it could end the login by
-- presenting a wrong one.
create function session_id(family uuid) returns uuid language sql immutable as $$
  select encode(substring(sha256(uuid_send(family)) for 16), 'hex')::uuid
$$;

-- As begin_login, with what the session shows.
create function begin_session(
  family uuid, owner uuid, since integer, first_hash bytea, lifetime interval, by_cookie boolean, agent text, caller text
) returns boolean language plpgsql as $$
begin
  if not begin_login(family, owner, since, first_hash, lifetime) then
    return false;
  end if;
  update refresh_families set in_cookie = by_cookie, user_agent = agent, address = caller where id = family;
  return true;
end $$;

-- As rotate_refresh_token, and finds the tenant that the next access token is for. Two outcomes more:
--   'no_tenant'  the tenant that is asked for does not exist, or the user is no active member of it
--   'suspended'
-- Both leave the token as it was. A cookie that comes twice within the grace period gets the same successor again: tabs share a
-- cookie and refresh at once, and a page that is left loses the answer. `has_left`: the session's tenant is gone for this user,
-- and the session is for none from now on.
create function rotate_session(
  family uuid, presented bytea, successor bytea, grace interval, by_cookie boolean,
  is_choice boolean, wanted_id uuid, wanted_slug text, agent text, caller text,
  out outcome text, out owner uuid, out epoch integer, out bound_to uuid, out has_left boolean, out remaining integer
) language plpgsql as $$
declare
  held refresh_families;
  is_welcome boolean;
  is_repeated boolean;
  found_status text;
begin
  outcome := 'unknown';
  has_left := false;
  select user_id into owner from refresh_families where id = family;
  select token_epoch, disabled_at is null and email_verified into epoch, is_welcome
    from users where id = owner for no key update;
  select * into held from refresh_families where id = family and expires_at > now() for update;
  if not found or held.in_cookie <> by_cookie then
    return;
  end if;
  is_repeated := held.previous_hash = presented and now() < held.last_used_at + grace;
  if held.token_hash <> presented and not coalesce(is_repeated, false) then
    outcome := 'reused';
    perform end_login(owner, family);
    return;
  end if;
  if held.token_hash <> presented and not (by_cookie and held.token_hash = successor) then
    outcome := 'repeated';
    return;
  end if;
  if not is_welcome then
    outcome := 'refused';
    return;
  end if;

  bound_to := held.tenant_id;
  if is_choice and wanted_id is null and wanted_slug is null then
    bound_to := null;
  elsif is_choice then
    select tenants.id, tenants.status into bound_to, found_status
      from tenants join user_tenants on user_tenants.tenant_id = tenants.id
      where user_tenants.user_id = owner and user_tenants.is_active and tenants.status <> 'deleted'
        and (tenants.id = wanted_id or tenants.slug = wanted_slug or tenants.id = (
          select alias.tenant_id from tenant_slug_aliases as alias
          where alias.slug = wanted_slug and alias.expires_at > now()
        ));
    if not found then
      outcome := 'no_tenant';
      return;
    elsif found_status = 'suspended' then
      outcome := 'suspended';
      return;
    end if;
  elsif bound_to is not null then
    perform from tenants join user_tenants on user_tenants.tenant_id = tenants.id
      where tenants.id = bound_to and user_tenants.user_id = owner and user_tenants.is_active and tenants.status <> 'deleted';
    if not found then
      has_left := true;
      bound_to := null;
    end if;
  end if;

  outcome := 'rotated';
  remaining := greatest(1, floor(extract(epoch from held.expires_at - now())))::integer;
  if held.token_hash = presented then
    update refresh_families
      set token_hash = successor, previous_hash = presented, last_used_at = now(), tenant_id = bound_to,
        user_agent = coalesce(agent, user_agent), address = coalesce(caller, address)
      where id = family;
  elsif held.tenant_id is distinct from bound_to then
    update refresh_families set tenant_id = bound_to where id = family;
  end if;
end $$;

-- Ends the login of a refresh token that is the current one or the one before. Returns its user; null: there is none.
create function end_login_of(family uuid, presented bytea) returns uuid language plpgsql as $$
declare
  owner uuid;
begin
  select user_id into owner from refresh_families where id = family;
  perform from users where id = owner for no key update;
  perform from refresh_families where id = family and presented in (token_hash, previous_hash) for update;
  if not found then
    return null;
  end if;
  perform end_login(owner, family);
  return owner;
end $$;

-- Ends one session of a user, or (`others`) all but that one. Returns how many ended. The user's access tokens end with them.
create function end_sessions(who uuid, session uuid, others boolean, by_whom text) returns integer language plpgsql as $$
declare
  ended integer;
begin
  perform from users where id = who for no key update;
  delete from refresh_families
    where user_id = who and expires_at > now() and (session_id(id) = session) is distinct from others;
  get diagnostics ended = row_count;
  if ended > 0 then
    update users set token_epoch = token_epoch + 1 where id = who;
    insert into audit_log (actor_id, action, subject, before) values (
      nullif(by_whom, '')::uuid, 'session.end', 'user:' || who,
      jsonb_strip_nulls(jsonb_build_object(case when others then 'kept' else 'session' end, session, 'ended', ended))
    );
  end if;
  return ended;
end $$;

-- Changes of address that are under way, one for each user. The new address counts once both mailboxes have agreed.
create table address_changes (
  user_id uuid primary key references users (id) on delete cascade,
  email text not null check (email <> '' and length(email) <= 320),
  -- SHA-256 of the links' tokens with their purpose, in base64url: one in the mail to the new address, one in that to the old.
  new_hash text not null unique check (new_hash ~ '^[A-Za-z0-9_-]{43}$'),
  old_hash text not null unique check (old_hash ~ '^[A-Za-z0-9_-]{43}$'),
  new_confirmed_at timestamptz,
  old_confirmed_at timestamptz,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index address_changes_expires_at_idx on address_changes (expires_at);

-- A revocation of all tokens ends a change that is under way: whoever asked for it may be whom the owner locks out.
create function users_end_address_change() returns trigger language plpgsql as $$
begin
  delete from address_changes where user_id = new.id;
  return null;
end $$;
create trigger users_end_address_change after update on users for each row
  when (
    (new.disabled_at is not null and old.disabled_at is null)
    or new.tokens_valid_after is distinct from old.tokens_valid_after
    or new.email <> old.email
  )
  execute function users_end_address_change();

-- Begins a change of address, in the place of an earlier one. False: the user may not log in, or has another address by now.
create function begin_address_change(
  who uuid, current_address text, address text, new_link text, old_link text, lifetime interval
) returns boolean language plpgsql as $$
begin
  perform from users
    where id = who and email = current_address and disabled_at is null and email_verified for no key update;
  if not found then
    return false;
  end if;
  insert into address_changes as held (user_id, email, new_hash, old_hash, expires_at)
    values (who, address, new_link, old_link, now() + lifetime)
    on conflict (user_id) do update set email = excluded.email, new_hash = excluded.new_hash, old_hash = excluded.old_hash,
      new_confirmed_at = null, old_confirmed_at = null, created_at = now(), expires_at = excluded.expires_at;
  insert into audit_log (actor_id, action, subject) values (who, 'user.email.request', 'user:' || who);
  delete from address_changes where user_id in (
    select user_id from address_changes where expires_at <= now() order by expires_at limit 8 for update skip locked
  );
  return true;
end $$;

-- Counts the consent of a mailbox; with the second one, the address changes and every login ends. `outcome`: 'waiting' for the
-- other mailbox, 'changed', or 'invalid', which is also the answer when somebody else has the address by now.
create function confirm_address_change(
  link text, out outcome text, out owner uuid, out old_address text, out new_address text
) language plpgsql as $$
declare
  held address_changes;
begin
  outcome := 'invalid';
  select user_id into owner from address_changes where link in (new_hash, old_hash);
  select email into old_address from users where id = owner and disabled_at is null and email_verified for update;
  if not found then
    return;
  end if;
  update address_changes
    set new_confirmed_at = case when new_hash = link then coalesce(new_confirmed_at, now()) else new_confirmed_at end,
      old_confirmed_at = case when old_hash = link then coalesce(old_confirmed_at, now()) else old_confirmed_at end
    where user_id = owner and link in (new_hash, old_hash) and expires_at > now() returning * into held;
  if not found then
    return;
  end if;
  if held.new_confirmed_at is null or held.old_confirmed_at is null then
    outcome := 'waiting';
    return;
  end if;
  perform set_config('tenants2fast.actor', owner::text, true);
  begin
    update users set email = held.email, token_epoch = token_epoch + 1, tokens_valid_after = now() where id = owner;
  exception when unique_violation then
    delete from address_changes where user_id = owner;
    return;
  end;
  new_address := held.email;
  outcome := 'changed';
end $$;

-- The old mailbox stops a change. Returns the user; null: there is none to stop.
create function stop_address_change(link text) returns uuid language plpgsql as $$
declare
  owner uuid;
begin
  select user_id into owner from address_changes where old_hash = link and expires_at > now();
  perform from users where id = owner for no key update;
  delete from address_changes where user_id = owner and old_hash = link;
  if not found then
    return null;
  end if;
  insert into audit_log (actor_id, action, subject) values (owner, 'user.email.stop', 'user:' || owner);
  return owner;
end $$;

-- Somebody who has logged in looks for the invitations of their address.
create index invitations_open_email_idx on invitations (email) where state = 'open';
