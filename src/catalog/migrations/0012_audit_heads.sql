-- A transaction that writes many entries of one chain. The head was another row version for each of them, and each had to
-- pass by all before it: a statement that makes 40,000 users took minutes. Now the head is locked with the first entry and
-- written once, at the end; until then an entry follows the last one of its own transaction.

alter table audit_log add column transaction_id xid8;

-- A plan that was made while the log was short would read all of it, for as long as the session keeps it.
create or replace function audit_log_chain() returns trigger language plpgsql
  set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  chain uuid := coalesce(new.tenant_id, '00000000-0000-0000-0000-000000000000');
  head audit_chains;
  own audit_log;
begin
  loop
    -- Whoever comes second waits here until the first has written the head and is gone.
    select * into head from audit_chains where chain_id = chain for no key update;
    exit when found;
    insert into audit_chains (chain_id) values (chain) on conflict do nothing;
  end loop;
  new.transaction_id := pg_current_xact_id();
  -- What is behind the head and not this transaction's was put in by somebody: nothing follows it.
  select * into own from audit_log
    where coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = chain
      and seq > head.length and transaction_id = new.transaction_id
    order by seq desc limit 1;
  new.seq := coalesce(own.seq, head.length) + 1;
  new.hash := audit_hash(coalesce(own.hash, head.hash), new.seq, new);
  return new;
end $$;

-- Runs for every entry, and does it all for the first.
create function audit_log_head() returns trigger language plpgsql
  set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  chain uuid := coalesce(new.tenant_id, '00000000-0000-0000-0000-000000000000');
begin
  if exists (select from audit_chains where chain_id = chain and length < new.seq) then
    update audit_chains as head set length = own.seq, hash = own.hash from (
      select seq, hash from audit_log
      where coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = chain
        and seq >= new.seq and transaction_id = new.transaction_id
      order by seq desc limit 1
    ) as own where head.chain_id = chain;
  end if;
  return null;
end $$;
create constraint trigger audit_log_head after insert on audit_log deferrable initially deferred
  for each row execute function audit_log_head();
