-- What better-auth keeps about users, in its models `account`, `session` and `verification`, under our names. Its own
-- migrator is not used: it runs outside of a transaction and knows nothing of the rest of the catalog. Its user table is
-- our `users`.

-- How a user proves who they are. provider_id 'credential' is a password; then account_id is the user's id.
create table user_credentials (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references users on delete cascade,
  provider_id text not null,
  account_id text not null,
  -- Only what argon2id makes of a password can be stored: whoever writes one as it is gets an error.
  password text check (password like '$argon2id$%'),
  -- For logins by way of other providers, which are not switched on; the library's model has them.
  access_token text,
  refresh_token text,
  id_token text,
  access_token_expires_at timestamptz,
  refresh_token_expires_at timestamptz,
  scope text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (provider_id, account_id)
);
create index user_credentials_user_id_idx on user_credentials (user_id);

-- Stays empty: a login is a family of refresh tokens (0006), and the library is kept from starting sessions. Should it
-- start one all the same, a token that is not hashed does not get in.
create table user_sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references users on delete cascade,
  -- SHA-256, in hex.
  token text not null unique check (token ~ '^[0-9a-f]{64}$'),
  expires_at timestamptz not null,
  ip_address text,
  user_agent text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index user_sessions_user_id_idx on user_sessions (user_id);

-- Links that were sent by mail and may be used once.
create table user_verifications (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references users on delete cascade,
  -- SHA-256 of purpose and token, in base64url: whoever reads the table can use no link.
  identifier text not null check (identifier ~ '^[A-Za-z0-9_-]{43}$'),
  -- The user's id, where the library looks for it.
  value text not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index user_verifications_identifier_idx on user_verifications (identifier);
create index user_verifications_user_id_idx on user_verifications (user_id);
create index user_verifications_expires_at_idx on user_verifications (expires_at);

create trigger user_credentials_updated_at before update on user_credentials
  for each row execute function set_updated_at();
create trigger user_sessions_updated_at before update on user_sessions for each row execute function set_updated_at();
create trigger user_verifications_updated_at before update on user_verifications
  for each row execute function set_updated_at();

-- What ends a user's logins. All of it happens in the transaction of the change itself, so plain SQL counts, too.

-- Links are left to whoever is using them at this very moment: two who wait for each other would be a deadlock.
create function drop_user_links(owner uuid) returns void language sql as $$
  delete from user_verifications where id in (
    select id from user_verifications where user_id = owner for update skip locked
  )
$$;

-- A password that is set, changed or taken away: whoever came in with what was there before has to come in again, and
-- links to set a new one that were sent before are void.
create function user_credentials_changed() returns trigger language plpgsql as $$
declare
  owner uuid;
begin
  if tg_op = 'DELETE' then
    owner := old.user_id;
  else
    owner := new.user_id;
  end if;
  update users set token_epoch = token_epoch + 1, tokens_valid_after = now() where id = owner;
  perform drop_user_links(owner);
  return null;
end $$;
create trigger user_credentials_set after insert on user_credentials for each row
  when (new.password is not null) execute function user_credentials_changed();
create trigger user_credentials_changed after update on user_credentials for each row
  when (new.password is distinct from old.password) execute function user_credentials_changed();
create trigger user_credentials_removed after delete on user_credentials for each row
  when (old.password is not null) execute function user_credentials_changed();

-- A user who is disabled loses all tokens for good: they do not come back when the user does. The name puts this trigger
-- before users_epoch, which announces the row as it is then.
create function users_disabled() returns trigger language plpgsql as $$
begin
  new.token_epoch := greatest(new.token_epoch, old.token_epoch + 1);
  new.tokens_valid_after := greatest(new.tokens_valid_after, now());
  return new;
end $$;
create trigger users_disabled before update on users for each row
  when (new.disabled_at is not null and old.disabled_at is null) execute function users_disabled();

-- tokens_valid_after moves when all tokens are revoked. token_epoch alone also moves when one device logs out, which is
-- nothing to the others.
create function users_end_sessions() returns trigger language plpgsql as $$
begin
  delete from user_sessions where user_id = new.id;
  return null;
end $$;
create trigger users_end_sessions after update on users for each row
  when (new.tokens_valid_after is distinct from old.tokens_valid_after) execute function users_end_sessions();

-- A link opens the account to whoever reads the mail: none is left to a disabled user, or at an address that was given up.
create function users_end_links() returns trigger language plpgsql as $$
begin
  perform drop_user_links(new.id);
  return null;
end $$;
create trigger users_end_links after update on users for each row
  when ((new.disabled_at is not null and old.disabled_at is null) or new.email <> old.email)
  execute function users_end_links();
