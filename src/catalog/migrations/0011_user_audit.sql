-- What is done to users and to signing keys, in the audit log. By triggers: part of it is done by a library or in plain
-- SQL, and an entry belongs into the transaction of the change. Deferred to its end: all users share one chain (the
-- installation's), which is locked last that way, for as short as can be, and by nobody who then waits for something else.
-- No entry holds a hash, a token or a key.

-- Who does it: select set_config('tenants2fast.actor', '<user id>', true), anywhere in the transaction of the change.
create function audit_change(what text, about text, earlier jsonb, later jsonb) returns void language sql as $$
  insert into audit_log (actor_id, action, subject, before, after)
    values (nullif(current_setting('tenants2fast.actor', true), '')::uuid, what, about, earlier, later)
$$;

create function user_facts(who users) returns jsonb language sql stable as $$
  select jsonb_build_object('email', who.email, 'name', who.name, 'image', who.image, 'emailVerified', who.email_verified)
$$;

-- The members of `facts` that are others in `other`.
create function audit_difference(facts jsonb, other jsonb) returns jsonb language sql stable as $$
  select jsonb_object_agg(key, value) from jsonb_each(facts) where other -> key is distinct from value
$$;

create function users_audit() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform audit_change('user.create', 'user:' || new.id, null, user_facts(new));
  elsif tg_op = 'DELETE' then
    perform audit_change('user.delete', 'user:' || old.id, user_facts(old), null);
  else
    perform audit_change('user.update', 'user:' || new.id,
      audit_difference(user_facts(old), user_facts(new)), audit_difference(user_facts(new), user_facts(old)));
  end if;
  return null;
end $$;
create constraint trigger users_created_audit after insert on users deferrable initially deferred
  for each row execute function users_audit();
create constraint trigger users_deleted_audit after delete on users deferrable initially deferred
  for each row execute function users_audit();
create constraint trigger users_changed_audit after update on users deferrable initially deferred for each row
  when ((new.email, new.name, new.image, new.email_verified)
    is distinct from (old.email, old.name, old.image, old.email_verified))
  execute function users_audit();

create function users_disabled_audit() returns trigger language plpgsql as $$
begin
  perform audit_change(case when new.disabled_at is null then 'user.enable' else 'user.disable' end, 'user:' || new.id,
    jsonb_build_object('disabledAt', old.disabled_at), jsonb_build_object('disabledAt', new.disabled_at));
  return null;
end $$;
create constraint trigger users_disabled_audit after update on users deferrable initially deferred for each row
  when ((new.disabled_at is null) <> (old.disabled_at is null)) execute function users_disabled_audit();

-- All tokens are withdrawn. Where that follows from something else (the user is disabled, or a trigger does it because the
-- password is another one), the entry of that says it. One login that ends is no change of the user.
create function users_revoked_audit() returns trigger language plpgsql as $$
begin
  perform audit_change('user.tokens.revoke', 'user:' || new.id,
    jsonb_build_object('tokensValidAfter', old.tokens_valid_after),
    jsonb_build_object('tokensValidAfter', new.tokens_valid_after));
  return null;
end $$;
create constraint trigger users_revoked_audit after update on users deferrable initially deferred for each row
  when (new.tokens_valid_after is distinct from old.tokens_valid_after
    and (new.disabled_at is null or old.disabled_at is not null) and pg_trigger_depth() = 0)
  execute function users_revoked_audit();

-- Passwords and identities that go with their user (in the trigger of the foreign key) are not told one by one.
create function user_credentials_audit() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    perform audit_change('user.password.remove', 'user:' || old.user_id, null, null);
  elsif tg_op = 'INSERT' then
    perform audit_change('user.password.set', 'user:' || new.user_id, null, null);
  else
    perform audit_change(
      case when old.password is null then 'user.password.set' when new.password is null then 'user.password.remove'
        else 'user.password.change' end, 'user:' || new.user_id, null, null);
  end if;
  return null;
end $$;
create constraint trigger user_credentials_set_audit after insert on user_credentials deferrable initially deferred
  for each row when (new.password is not null) execute function user_credentials_audit();
create constraint trigger user_credentials_changed_audit after update on user_credentials deferrable initially deferred
  for each row when (new.password is distinct from old.password) execute function user_credentials_audit();
create constraint trigger user_credentials_removed_audit after delete on user_credentials deferrable initially deferred
  for each row when (old.password is not null and pg_trigger_depth() = 0) execute function user_credentials_audit();

create function user_identities_audit() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform audit_change('user.identity.unlink', 'user:' || old.user_id,
      jsonb_build_object('issuer', old.issuer, 'subject', old.subject), null);
  end if;
  if tg_op <> 'DELETE' then
    perform audit_change('user.identity.link', 'user:' || new.user_id, null,
      jsonb_build_object('issuer', new.issuer, 'subject', new.subject));
  end if;
  return null;
end $$;
create constraint trigger user_identities_linked_audit after insert or update on user_identities
  deferrable initially deferred for each row execute function user_identities_audit();
create constraint trigger user_identities_unlinked_audit after delete on user_identities
  deferrable initially deferred for each row when (pg_trigger_depth() = 0) execute function user_identities_audit();

create function signing_key_facts(key signing_keys) returns jsonb language sql stable as $$
  select jsonb_build_object('algorithm', key.algorithm, 'signsFrom', key.signs_from, 'expiresAt', key.expires_at)
$$;
create function signing_keys_audit() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform audit_change('signing-key.create', 'signing-key:' || new.kid, null, signing_key_facts(new));
  elsif tg_op = 'DELETE' then
    perform audit_change('signing-key.remove', 'signing-key:' || old.kid, signing_key_facts(old), null);
  else
    perform audit_change('signing-key.retire', 'signing-key:' || new.kid,
      audit_difference(signing_key_facts(old), signing_key_facts(new)), audit_difference(signing_key_facts(new), signing_key_facts(old)));
  end if;
  return null;
end $$;
create constraint trigger signing_keys_made_audit after insert or delete on signing_keys
  deferrable initially deferred for each row execute function signing_keys_audit();
create constraint trigger signing_keys_retired_audit after update on signing_keys deferrable initially deferred
  for each row when (new.expires_at is distinct from old.expires_at) execute function signing_keys_audit();
