-- Deleted tenants keep their database until it is due, and are gone with it: row, memberships, roles of their own. What
-- stays is the audit log.

-- `dropping` is the point of no return: whoever begins to drop a database says so here first.
alter table tenant_databases drop constraint tenant_databases_state_check;
alter table tenant_databases add constraint tenant_databases_state_check
  check (state in ('building', 'ready', 'assigned', 'retired', 'dropping'));

-- From this moment on a retired database is dropped. Written when it is retired, so that a setting that changes
-- later changes nothing for what was deleted before.
alter table tenant_databases add column drop_after timestamptz;
update tenant_databases set drop_after = coalesce(lease_expires_at, retired_at + interval '720 hours')
  where state = 'retired';
alter table tenant_databases add constraint tenant_databases_drop_after_check
  check (state <> 'retired' or drop_after is not null);

-- Which process looks after the server's databases, and until when that may be believed (database clock).
alter table database_servers add column leader text;
alter table database_servers add column leader_until timestamptz;

-- Removes the row of a database that was dropped, with the deleted tenant that it belonged to. No row: the lease was lost.
create function finish_database_drop(dropped uuid, lease text) returns table (tenant_id uuid) language plpgsql as $$
declare
  gone tenants;
begin
  -- The order in which everybody locks: tenant, users, database.
  select * into gone from tenants where database_id = dropped for update;
  if found and gone.status <> 'deleted' then
    raise exception 'tenant % is not deleted', gone.id;
  end if;
  perform from users where id in (select user_id from user_tenants where user_tenants.tenant_id = gone.id)
    order by id for no key update;
  perform from tenant_databases where id = dropped and state = 'dropping' and lease_owner = lease for update;
  if not found then
    return;
  end if;
  if gone.id is not null then
    insert into audit_log (tenant_id, action, subject, before)
      values (gone.id, 'tenant.dropped', 'tenant:' || gone.id, jsonb_build_object(
        'slug', gone.slug, 'databaseId', dropped, 'deletedAt', gone.deleted_at));
    delete from tenants where id = gone.id;
  end if;
  delete from tenant_databases where id = dropped;
  return query select gone.id;
end $$;
