-- An account belongs to whoever proves its address. Anybody may register any address, so a registration is only a link on
-- its way to a mailbox: no user, no password that works. Whoever opens the link sets the password.

create table user_registrations (
  -- SHA-256 of the link's token, in base64url.
  token_hash text primary key check (token_hash ~ '^[A-Za-z0-9_-]{43}$'),
  -- ASCII letters in lower case.
  email text not null check (email <> '' and length(email) <= 320),
  -- What came with the registration. The password opens nothing: whoever confirms with the same one is who registered, and
  -- then the name counts, too.
  name text not null default '',
  password text check (password like '$argon2id$%'),
  expires_at timestamptz not null,
  created_at timestamptz not null default now()
);
create index user_registrations_email_idx on user_registrations (email, created_at);
create index user_registrations_expires_at_idx on user_registrations (expires_at);

create function begin_registration(link text, address text, shown_name text, secret text, lifetime interval)
  returns void language sql as $$
  insert into user_registrations (token_hash, email, name, password, expires_at)
    values (link, address, shown_name, secret, now() + lifetime);
  -- Those that nobody confirmed are removed by those that begin, a few at a time.
  delete from user_registrations where token_hash in (
    select token_hash from user_registrations where expires_at <= now() order by expires_at limit 100 for update skip locked
  );
$$;

-- One address in the one spelling of registrations. Letters beyond ASCII stay: some become an ASCII letter, and so somebody
-- else's address.
create function plain_address(address text) returns text language sql immutable as $$
  select lower(address collate "C")
$$;

-- An address is proven: what the account had before may be a stranger's. Passwords and logins end here, in the transaction of
-- the change itself, so plain SQL counts. Tokens of an issuer stay as they were: one of them may be the proof.
create function users_address_proven() returns trigger language plpgsql as $$
begin
  delete from user_credentials where user_id = new.id;
  delete from user_sessions where user_id = new.id;
  delete from refresh_families where user_id = new.id;
  perform drop_user_links(new.id);
  update users set token_epoch = token_epoch + 1, tokens_valid_after = new.tokens_valid_after where id = new.id;
  return null;
end $$;
create trigger users_address_proven after update on users for each row
  when (new.email_verified and not old.email_verified) execute function users_address_proven();

-- Links to confirm an address end with its proof. Those that are in use at this moment are left to their users, who will see
-- that the account is there.
create function users_end_registrations() returns trigger language plpgsql as $$
begin
  delete from user_registrations where token_hash in (
    select token_hash from user_registrations where email = plain_address(new.email) for update skip locked
  );
  return null;
end $$;
create trigger users_end_registrations after insert or update of email, email_verified on users for each row
  when (new.email_verified) execute function users_end_registrations();

-- The address of a user is proven by somebody who comes another way than by one of the identities that the account has: those
-- go as well.
create function prove_address(owner uuid) returns void language sql as $$
  update users set email_verified = true where id = owner and not email_verified;
  delete from user_identities where user_id = owner;
$$;

create function set_password(owner uuid, new_password text) returns void language sql as $$
  insert into user_credentials (user_id, provider_id, account_id, password)
    values (owner, 'credential', owner::text, new_password)
    on conflict (provider_id, account_id) do update set password = excluded.password;
$$;

-- Uses up a link and makes the account, or completes one that is not proven yet. Null: the link is not, or no longer, good;
-- the account is proven or disabled; the address only looks like that of an account.
create function confirm_registration(link text, new_password text, given_name text) returns uuid language plpgsql as $$
declare
  held user_registrations;
  owner users;
begin
  delete from user_registrations where token_hash = link and expires_at > now() returning * into held;
  if not found then
    return null;
  end if;
  insert into users (email, name, email_verified) values (held.email, coalesce(given_name, ''), true)
    on conflict (lower(email)) do nothing returning * into owner;
  if not found then
    select * into owner from users where lower(email) = lower(held.email) for update;
    if not found or plain_address(owner.email) <> held.email or owner.email_verified or owner.disabled_at is not null then
      return null;
    end if;
    perform prove_address(owner.id);
    update users set name = given_name where id = owner.id and given_name is not null;
  end if;
  perform set_config('tenants2fast.actor', owner.id::text, true);
  perform set_password(owner.id, new_password);
  return owner.id;
end $$;

-- Uses up a reset link (its identifier in user_verifications) and sets the password; the link proves the address, too. Null:
-- the link is not, or no longer, good, or the user is disabled.
create function reset_password(link text, new_password text) returns uuid language plpgsql as $$
declare
  owner uuid;
  is_proven boolean;
begin
  delete from user_verifications where identifier = link and expires_at > now() returning user_id into owner;
  if not found then
    return null;
  end if;
  select email_verified into is_proven from users where id = owner and disabled_at is null for update;
  if not found then
    return null;
  end if;
  perform set_config('tenants2fast.actor', owner::text, true);
  if not is_proven then
    perform prove_address(owner);
  end if;
  perform set_password(owner, new_password);
  return owner;
end $$;

-- Passwords that came with a registration which nobody has confirmed yet. Their owners register again, or reset them by mail.
delete from user_credentials using users where users.id = user_id and not email_verified;

-- Attempts: an account is known in a network from which its owner came in. `trusted` is the key of the two; there, failures
-- that others cause elsewhere (the last of `keys`) do not count.
create function take_trusted_attempt(
  keys bytea[], limits integer[], window_seconds integer[], trusted bytea, out wait integer, out is_trusted boolean
) language plpgsql as $$
declare
  counted integer;
begin
  is_trusted := exists (select from account_attempts where key = trusted and expires_at > now());
  counted := cardinality(keys) - is_trusted::integer;
  wait := take_account_attempt(keys[1:counted], limits[1:counted], window_seconds[1:counted]);
end $$;

-- The attempt was the owner's: it is taken back under `counted`, nothing is left under `cleared`, and the network is trusted.
-- Locks are taken in the order of take_account_attempt.
create function trust_account_attempts(
  for_address bytea, for_both bytea, for_account bytea, trusted bytea, trusted_seconds integer
) returns void language plpgsql as $$
begin
  update account_attempts set count = count - 1 where key = for_address and count > 0 and expires_at > now();
  delete from account_attempts where key = for_both;
  update account_attempts set count = count - 1 where key = for_account and count > 0 and expires_at > now();
  insert into account_attempts (key, count, expires_at) values (trusted, 0, now() + make_interval(secs => trusted_seconds))
    on conflict (key) do update set expires_at = excluded.expires_at;
end $$;
