-- Refresh tokens, one family per login. A token names its family; only the hash of the newest one is kept, so any other
-- token of the family is known to be an old one.
create table refresh_families (
  id uuid primary key,
  user_id uuid not null references users on delete cascade,
  -- SHA-256 of the token that may be used next.
  token_hash bytea not null check (length(token_hash) = 32),
  -- SHA-256 of the token before. Used again within moments, it is a client that asked twice at once.
  previous_hash bytea check (length(previous_hash) = 32),
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  -- Fixed at the login: no rotation moves it.
  expires_at timestamptz not null
);
create index refresh_families_user_id_idx on refresh_families (user_id);
create index refresh_families_expires_at_idx on refresh_families (expires_at);

-- Whoever changes both locks the user first and the families after: that is the order of the triggers below, too.

-- Starts a login; false when the user is not let in, or when their tokens were revoked after `since` (a token epoch) was read.
create function begin_login(family uuid, owner uuid, since integer, first_hash bytea, lifetime interval)
  returns boolean language plpgsql as $$
begin
  perform from users where id = owner and token_epoch = since and disabled_at is null and email_verified for share;
  if not found then
    return false;
  end if;
  insert into refresh_families (id, user_id, token_hash, expires_at) values (family, owner, first_hash, now() + lifetime);
  -- Logins that ended by themselves are removed by those that begin, a few at a time.
  delete from refresh_families where id in (
    select id from refresh_families where expires_at <= now() order by expires_at limit 100 for update skip locked
  );
  return true;
end $$;

-- Replaces a token by its successor, exactly once. `outcome`: 'rotated'; 'repeated' (the token before, again within the
-- grace period); 'reused' (any older token: the family is gone, and the user's access tokens with it); 'refused' (the user
-- is disabled or not verified); 'unknown' (no such family, or it has expired).
create function rotate_refresh_token(
  family uuid, presented bytea, successor bytea, grace interval,
  out outcome text, out owner uuid, out epoch integer
) language plpgsql as $$
declare
  held refresh_families;
  is_welcome boolean;
begin
  outcome := 'unknown';
  select user_id into owner from refresh_families where id = family;
  select token_epoch, disabled_at is null and email_verified into epoch, is_welcome
    from users where id = owner for no key update;
  select * into held from refresh_families where id = family and expires_at > now() for update;
  if not found then
    return;
  end if;
  if held.token_hash = presented then
    outcome := case when is_welcome then 'rotated' else 'refused' end;
    if is_welcome then
      update refresh_families set token_hash = successor, previous_hash = presented, last_used_at = now() where id = family;
    end if;
  elsif held.previous_hash = presented and now() < held.last_used_at + grace then
    outcome := 'repeated';
  else
    outcome := 'reused';
    perform end_login(owner, family);
  end if;
end $$;

-- Ends one login, and the access tokens of all; the other logins get new ones by refreshing.
create function end_login(owner uuid, family uuid) returns void language sql as $$
  update users set token_epoch = token_epoch + 1 where id = owner;
  delete from refresh_families where id = family and user_id = owner;
$$;

-- A revocation of all tokens (which a changed password and a disabled user are, too: see 0004) ends every access token and
-- every login, also when it is done in plain SQL.
create function users_revoked() returns trigger language plpgsql as $$
begin
  new.token_epoch := greatest(new.token_epoch, old.token_epoch + 1);
  return new;
end $$;
create trigger users_revoked before update on users for each row
  when (new.tokens_valid_after is distinct from old.tokens_valid_after) execute function users_revoked();

create function users_end_logins() returns trigger language plpgsql as $$
begin
  delete from refresh_families where user_id = new.id;
  return null;
end $$;
create trigger users_end_logins after update on users for each row
  when (
    (new.disabled_at is not null and old.disabled_at is null)
    or new.tokens_valid_after is distinct from old.tokens_valid_after
  )
  execute function users_end_logins();
