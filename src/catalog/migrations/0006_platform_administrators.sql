-- Who may administer the installation, apart from operators at the command line, who may do everything.
create table platform_administrators (
  user_id uuid primary key references users (id) on delete cascade,
  granted_at timestamptz not null default now(),
  -- Null: an operator of the installation, or a user who no longer exists.
  granted_by uuid references users (id) on delete set null
);
create index platform_administrators_granted_by_idx on platform_administrators (granted_by);

-- The command line names the operating system's user and host in the setting `tenants2fast.operator` of its sessions, and each
-- entry that such a session writes has it, under the hash as everything in it. It goes into `after` and not into a column of its
-- own, because processes of the release before compute the hash over the columns that they know.
create or replace function audit_log_chain() returns trigger language plpgsql
  set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  chain uuid := coalesce(new.tenant_id, '00000000-0000-0000-0000-000000000000');
  operator text := nullif(current_setting('tenants2fast.operator', true), '');
  head audit_chains;
  own audit_log;
begin
  loop
    -- A second transaction waits here until the first has written the head and ended.
    select * into head from audit_chains where chain_id = chain for no key update;
    exit when found;
    insert into audit_chains (chain_id) values (chain) on conflict do nothing;
  end loop;
  -- Entries of ours have an object or nothing.
  if operator is not null and coalesce(jsonb_typeof(new.after), 'object') = 'object' then
    new.after := coalesce(new.after, '{}') || jsonb_build_object('tenants2fast.operator', operator);
  end if;
  new.transaction_id := pg_current_xact_id();
  -- An entry beyond the head that is not of this transaction was forged: nothing follows it.
  select * into own from audit_log
    where coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) = chain
      and seq > head.length and transaction_id = new.transaction_id
    order by seq desc limit 1;
  new.seq := coalesce(own.seq, head.length) + 1;
  new.hash := audit_hash(coalesce(own.hash, head.hash), new.seq, new);
  return new;
end $$;
