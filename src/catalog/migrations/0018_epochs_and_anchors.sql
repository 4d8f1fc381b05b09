-- An epoch names one state of a row, and never another: caches that others can write to go by that.

-- A row that is made again under an id of before (from a backup, by hand) begins where no row has been yet: at the
-- microseconds since 1970.
alter table users alter column access_epoch set default (extract(epoch from clock_timestamp()) * 1000000)::bigint;
alter table tenants alter column access_epoch set default (extract(epoch from clock_timestamp()) * 1000000)::bigint;

-- Whatever is written: no epoch falls.
create function epochs_are_kept() returns trigger language plpgsql as $$
begin
  new.access_epoch := old.access_epoch;
  return new;
end $$;
create trigger users_epoch_kept before update of access_epoch on users for each row
  when (new.access_epoch < old.access_epoch) execute function epochs_are_kept();
create trigger tenants_epoch_kept before update of access_epoch on tenants for each row
  when (new.access_epoch < old.access_epoch) execute function epochs_are_kept();
create function rules_epoch_is_kept() returns trigger language plpgsql as $$
begin
  new.rules_epoch := old.rules_epoch;
  return new;
end $$;
create trigger rules_epoch_kept before update of rules_epoch on installation for each row
  when (new.rules_epoch < old.rules_epoch) execute function rules_epoch_is_kept();

-- A tenant is remembered with its whole row: every column counts, also those that decide over nothing. Runs after
-- tenants_epoch (triggers go by name), which has raised the epoch already for those that do.
create function tenants_row_epoch() returns trigger language plpgsql as $$
declare
  earlier tenants := old;
begin
  earlier.access_epoch := new.access_epoch;
  if new.access_epoch <= old.access_epoch and new is distinct from earlier then
    new.access_epoch := old.access_epoch + 1;
    perform announce_change('t:' || new.id || ':' || new.access_epoch);
  end if;
  return new;
end $$;
create trigger tenants_row_epoch before update on tenants for each row execute function tenants_row_epoch();

-- An update that changes nothing changes no time either, which would be a change without an epoch.
drop trigger tenants_updated_at on tenants;
create trigger tenants_updated_at before update on tenants for each row
  when (new.* is distinct from old.*) execute function set_updated_at();

-- Anchors. A tenant's chain whose entries are removed together with its head leaves no trace in itself. So the heads of
-- tenants' chains are written down in the installation's chain: whoever removes or shortens a chain has to forge that one,
-- too, from the anchor on.

create index audit_log_anchors_idx on audit_log (subject, seq) where action = 'audit.anchor';

create function write_audit_anchor(chain uuid, chain_length bigint, head_hash bytea) returns void language sql as $$
  insert into audit_log (action, subject, after)
    values ('audit.anchor', 'tenant:' || chain, jsonb_build_object('length', chain_length, 'hash', encode(head_hash, 'hex')))
$$;

-- The length of the chain's last anchor.
create function anchored_length(chain uuid) returns bigint language sql stable as $$
  select case when after ->> 'length' ~ '^[0-9]{1,18}$' then (after ->> 'length')::bigint end from audit_log
    where action = 'audit.anchor' and subject = 'tenant:' || chain and tenant_id is null order by seq desc limit 1
$$;

-- Anchors the heads of chains that have grown, at most so many; answers how many it were.
create function anchor_audit_chains(most integer default 500) returns integer language plpgsql as $$
declare
  anchored integer;
begin
  -- Whoever comes second sees what the first has anchored.
  perform from audit_chains where chain_id = '00000000-0000-0000-0000-000000000000' for no key update;
  perform write_audit_anchor(chain_id, length, hash) from (
    select chain_id, length, hash from audit_chains
    where chain_id <> '00000000-0000-0000-0000-000000000000' and length > coalesce(anchored_length(chain_id), 0)
    order by chain_id limit most
  ) as grown;
  get diagnostics anchored = row_count;
  return anchored;
end $$;

-- The chain of a tenant that is gone ends with its anchor. Deferred, so that nothing of the transaction comes after it; its
-- own entries count although the head may not be written yet.
create function tenants_chain_anchor() returns trigger language plpgsql
  set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  perform write_audit_anchor(old.id, seq, hash) from (
    select seq, hash from audit_log
    where coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = old.id
      and (seq <= (select length from audit_chains where chain_id = old.id) or transaction_id = pg_current_xact_id())
    order by seq desc limit 1
  ) as last;
  return null;
end $$;
create constraint trigger tenants_chain_anchor after delete on tenants deferrable initially deferred
  for each row execute function tenants_chain_anchor();

-- What is there now.
do $$
begin
  while anchor_audit_chains() > 0 loop
  end loop;
end $$;
