-- A database that a restore has replaced is kept for a while, so that the tenant can have it back. It is retired, with a date
-- from which it is dropped, and remembers whose it was: the tenant points to another database by then.
alter table tenant_databases add column former_tenant_id uuid references tenants (id) on delete set null;
create index tenant_databases_former_tenant_id_idx on tenant_databases (former_tenant_id) where former_tenant_id is not null;

-- Who erases a tenant erases what is kept of it, too: the reconciler drops it at once.
create function tenants_former_databases() returns trigger language plpgsql as $$
begin
  update tenant_databases set drop_after = now()
   where former_tenant_id = old.id and state = 'retired' and drop_after > now();
  return old;
end $$;
create trigger tenants_former_databases before delete on tenants
  for each row execute function tenants_former_databases();
