-- Roles that include roles; an audit log whose rows form hash chains; a ledger of the access definition that can retire.

-- What `included_role_id` gives, `role_id` gives as well, and so on down the chain.
create table role_inclusions (
  role_id uuid not null references roles on delete cascade,
  included_role_id uuid not null references roles on delete cascade,
  created_at timestamptz not null default now(),
  primary key (role_id, included_role_id)
);
create index role_inclusions_included_role_id_idx on role_inclusions (included_role_id);

-- A tenant's role includes its tenant's roles and built-in ones, a built-in role built-in ones only; so a cycle is
-- made within one owner. The owner's row is the lock: the epoch below changes it, so a second writer sees what the
-- first has written, or in REPEATABLE READ fails.
create function role_inclusions_check() returns trigger language plpgsql as $$
declare
  owner uuid := (select tenant_id from roles where id = new.role_id);
begin
  if exists (select from roles where id = new.included_role_id and tenant_id is not null and tenant_id is distinct from owner) then
    raise exception 'a role includes roles of its own tenant and built-in ones only'
      using errcode = '23503', constraint = 'role_inclusions_same_tenant';
  end if;
  if owner is null then
    perform from installation for no key update;
  else
    perform from tenants where id = owner for no key update;
  end if;
  if exists (
    with recursive reached (id) as (
      select new.included_role_id
      union
      select inclusion.included_role_id from reached join role_inclusions as inclusion on inclusion.role_id = reached.id
    )
    select from reached where id = new.role_id
  ) then
    raise exception 'a role can''t include itself, by no detour either'
      using errcode = '23514', constraint = 'role_inclusions_no_cycle';
  end if;
  return null;
end $$;
create trigger role_inclusions_check after insert or update on role_inclusions
  for each row execute function role_inclusions_check();

-- Epochs: as of role_permissions, those of the role that includes.
create trigger role_inclusions_truncated after truncate on role_inclusions
  for each statement execute function access_truncated();
create trigger role_inclusions_inserted after insert on role_inclusions referencing new table as new_rows
  for each statement execute function role_permissions_epoch();
create trigger role_inclusions_changed after update on role_inclusions
  referencing old table as old_rows new table as new_rows
  for each statement execute function role_permissions_epoch();
create trigger role_inclusions_deleted after delete on role_inclusions referencing old table as old_rows
  for each statement execute function role_permissions_epoch();

-- The audit log: one chain for each tenant and one for the installation (all zeros), so that tenants write without
-- waiting for each other. A row's hash covers the row and the hash before it; the head, kept aside, shows when the
-- last rows are cut off. Chains outlive their tenants.
create table audit_chains (
  chain_id uuid primary key,
  length bigint not null default 0,
  hash bytea not null default ''
);
alter table audit_log add column seq bigint, add column hash bytea;

-- Injective: a field is its length in bytes, a colon and its text, or '-' for null. The same in audit-chain.ts.
create function audit_field(value text) returns text language sql immutable as $$
  select coalesce(octet_length(convert_to(value, 'UTF8')) || ':' || value, '-')
$$;
-- In PL/pgSQL, whose sessions keep the plan: a function in SQL would be planned anew for every row.
create function audit_hash(previous bytea, seq bigint, entry audit_log) returns bytea language plpgsql stable as $$
begin
  return sha256(previous || convert_to(
    audit_field(seq::text) || audit_field(entry.id::text) ||
    audit_field(((extract(epoch from entry.at) * 1000000)::bigint)::text) ||
    audit_field(entry.actor_id::text) || audit_field(entry.tenant_id::text) || audit_field(entry.action) ||
    audit_field(entry.subject) || audit_field(entry.before::text) || audit_field(entry.after::text), 'UTF8'));
end $$;

create function audit_log_chain() returns trigger language plpgsql as $$
declare
  chain uuid := coalesce(new.tenant_id, '00000000-0000-0000-0000-000000000000');
begin
  loop
    update audit_chains set length = length + 1, hash = audit_hash(hash, length + 1, new)
      where chain_id = chain returning length, hash into new.seq, new.hash;
    exit when found;
    insert into audit_chains (chain_id) values (chain) on conflict do nothing;
  end loop;
  return new;
end $$;

-- Rows of before join their chains in the order of their ids.
alter table audit_log disable trigger audit_log_append_only;
insert into audit_chains (chain_id) values ('00000000-0000-0000-0000-000000000000');
insert into audit_chains (chain_id) select id from tenants;
do $$
declare
  entry audit_log;
  head audit_chains;
begin
  for entry in select * from audit_log order by id loop
    insert into audit_chains (chain_id) values (coalesce(entry.tenant_id, '00000000-0000-0000-0000-000000000000'))
      on conflict (chain_id) do update set length = audit_chains.length returning * into head;
    entry.seq := head.length + 1;
    entry.hash := audit_hash(head.hash, entry.seq, entry);
    update audit_log set seq = entry.seq, hash = entry.hash where id = entry.id;
    update audit_chains set length = entry.seq, hash = entry.hash where chain_id = head.chain_id;
  end loop;
end $$;
alter table audit_log enable trigger audit_log_append_only;
alter table audit_log alter column seq set not null, alter column hash set not null;
create unique index audit_log_chain_key on audit_log (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), seq);
drop index audit_log_tenant_id_idx;
create trigger audit_log_chain before insert on audit_log for each row execute function audit_log_chain();

-- Every tenant has its chain from the start: one that is missing was taken away.
create function tenants_audit_chain() returns trigger language plpgsql as $$
begin
  insert into audit_chains (chain_id) values (new.id) on conflict do nothing;
  return null;
end $$;
create trigger tenants_audit_chain after insert on tenants for each row execute function tenants_audit_chain();

-- Heads are written by the triggers above and by nobody else.
create function audit_chains_are_kept() returns trigger language plpgsql as $$
begin
  if tg_op in ('DELETE', 'TRUNCATE') or pg_trigger_depth() < 2 then
    raise exception 'audit_chains is written by audit_log only' using errcode = '0A000';
  end if;
  return null;
end $$;
create trigger audit_chains_kept before insert or update or delete or truncate on audit_chains
  for each statement execute function audit_chains_are_kept();

-- The access definition's ledger: when the entry was put in, brought back or retired. What was changed since, an
-- administrator changed. 'retired': it left the definition and was taken away; 'left': it left and was let alone.
alter table access_seed_entries rename column created_at to applied_at;
alter table access_seed_entries add column state text not null default 'applied'
  check (state in ('applied', 'retired', 'left'));
-- The highest version of the definition that was put in: a process with an older one changes nothing.
alter table installation add column access_version integer not null default 0;
