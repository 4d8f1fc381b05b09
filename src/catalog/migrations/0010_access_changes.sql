-- What the notifications of epochs say, kept as rows as well: for processes that can't LISTEN, because a pooler stands
-- between them and the catalog.

create table access_changes (
  id bigint generated always as identity primary key,
  -- Numbers are handed out in another order than transactions commit in. So a reader asks by snapshot, not by number:
  -- which of these transactions do I see now, and didn't when I last looked?
  transaction_id xid8 not null default pg_current_xact_id(),
  -- The notification's text: 'u:<user id>:<epoch>', 't:<tenant id>:<epoch>' or 'r:<epoch>'.
  change text not null,
  created_at timestamptz not null default clock_timestamp()
);
create index access_changes_transaction_id_idx on access_changes (transaction_id);

create function announce_change(said text) returns void language plpgsql as $$
declare
  number bigint;
begin
  perform pg_notify('tenants2fast_epochs', said);
  insert into access_changes (change) values (said) returning id into number;
  -- Old rows are removed by those who add new ones, a few at a time. A day is longer than a transaction stays open, and
  -- a reader that was away for longer than an hour takes everything for changed.
  if number % 1000 = 0 then
    delete from access_changes where id in (
      select id from access_changes
      where id < number and created_at < now() - interval '1 day' order by id limit 2000 for update skip locked
    );
  end if;
end $$;

create or replace function bump_user_epoch(target uuid) returns void language sql as $$
  with bumped as (update users set access_epoch = access_epoch + 1 where id = target returning id, access_epoch)
  select announce_change('u:' || id || ':' || access_epoch) from bumped
$$;

create or replace function bump_tenant_epoch(target uuid) returns void language sql as $$
  with bumped as (update tenants set access_epoch = access_epoch + 1 where id = target returning id, access_epoch)
  select announce_change('t:' || id || ':' || access_epoch) from bumped
$$;

create or replace function bump_rules_epoch() returns void language sql as $$
  with bumped as (update installation set rules_epoch = rules_epoch + 1 returning rules_epoch)
  select announce_change('r:' || rules_epoch) from bumped
$$;

create or replace function users_epoch() returns trigger language plpgsql as $$
begin
  if (new.email, new.name, new.image, new.email_verified, new.disabled_at, new.token_epoch, new.tokens_valid_after)
    is distinct from
    (old.email, old.name, old.image, old.email_verified, old.disabled_at, old.token_epoch, old.tokens_valid_after)
  then
    new.access_epoch := greatest(new.access_epoch, old.access_epoch + 1);
    perform announce_change('u:' || new.id || ':' || new.access_epoch);
  end if;
  return new;
end $$;

create or replace function users_deleted() returns trigger language plpgsql as $$
begin
  perform announce_change('u:' || old.id || ':' || old.access_epoch + 1);
  return old;
end $$;

create or replace function tenants_epoch() returns trigger language plpgsql as $$
begin
  if (new.slug, new.name, new.status, new.contact_email, new.max_users, new.database_id)
    is distinct from (old.slug, old.name, old.status, old.contact_email, old.max_users, old.database_id)
  then
    new.access_epoch := greatest(new.access_epoch, old.access_epoch + 1);
    perform announce_change('t:' || new.id || ':' || new.access_epoch);
  end if;
  return new;
end $$;

create or replace function tenants_deleted() returns trigger language plpgsql as $$
begin
  perform announce_change('t:' || old.id || ':' || old.access_epoch + 1);
  return old;
end $$;

-- Somebody whose other tenant was deleted has their remaining one as default. When the deleted one comes back, they may
-- have to choose again: what is remembered of their default is out of date.
create function tenants_restored() returns trigger language plpgsql as $$
begin
  perform bump_user_epoch(user_id) from (
    select user_id from user_tenants where tenant_id = new.id order by user_id
  ) as members;
  return null;
end $$;
create trigger tenants_restored after update on tenants for each row
  when (old.status = 'deleted' and new.status <> 'deleted') execute function tenants_restored();

-- Whose account a foreign subject is, is remembered with the user: unlinking it concerns the user.
create function user_identities_epoch() returns trigger language plpgsql as $$
begin
  perform bump_user_epoch(old.user_id);
  if tg_op = 'UPDATE' and new.user_id <> old.user_id then
    perform bump_user_epoch(new.user_id);
  end if;
  return null;
end $$;
create trigger user_identities_epoch after update or delete on user_identities
  for each row execute function user_identities_epoch();

-- A key that is withdrawn ends tokens as a revocation does; a successor is worth knowing, too. 'k:<milliseconds since 1970>'.
create function signing_keys_changed() returns trigger language plpgsql as $$
begin
  perform announce_change('k:' || floor(extract(epoch from clock_timestamp()) * 1000)::bigint);
  return null;
end $$;
create trigger signing_keys_changed after insert or update or delete or truncate on signing_keys
  for each statement execute function signing_keys_changed();
