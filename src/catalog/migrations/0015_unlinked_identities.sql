-- Identities that were unlinked from a user. Their issuer neither links nor creates a user for them by itself any more; only
-- an explicit link brings one back. Goes with its user: who is deleted may come anew.
create table unlinked_identities (
  issuer text not null,
  subject text not null,
  user_id uuid not null references users on delete cascade,
  unlinked_at timestamptz not null default now(),
  primary key (issuer, subject)
);
create index unlinked_identities_user_id_idx on unlinked_identities (user_id);

-- By triggers, so that plain SQL counts, too.
create function user_identities_unlinked() returns trigger language plpgsql as $$
begin
  insert into unlinked_identities (issuer, subject, user_id) values (old.issuer, old.subject, old.user_id)
    on conflict (issuer, subject) do update set user_id = excluded.user_id, unlinked_at = now();
  return null;
end $$;
create trigger user_identities_unlinked after delete on user_identities for each row
  when (pg_trigger_depth() = 0) execute function user_identities_unlinked();

create function user_identities_linked() returns trigger language plpgsql as $$
begin
  delete from unlinked_identities where issuer = new.issuer and subject = new.subject;
  return null;
end $$;
create trigger user_identities_linked after insert on user_identities for each row
  execute function user_identities_linked();
