-- An impersonation is over once its member is inactive or gone, or its tenant is not active, also where that is undone within its
-- hour: whoever stopped it so has stopped it.
create function user_tenants_end_impersonations() returns trigger language plpgsql as $$
begin
  update impersonations set ended_at = now()
    where user_id = old.user_id and tenant_id = old.tenant_id and ended_at is null and expires_at > now();
  return null;
end $$;
create trigger user_tenants_end_impersonations_when_inactive after update of is_active on user_tenants for each row
  when (old.is_active and not new.is_active) execute function user_tenants_end_impersonations();
create trigger user_tenants_end_impersonations_when_gone after delete on user_tenants for each row
  execute function user_tenants_end_impersonations();

create function tenants_end_impersonations() returns trigger language plpgsql as $$
begin
  update impersonations set ended_at = now() where tenant_id = old.id and ended_at is null and expires_at > now();
  return null;
end $$;
create trigger tenants_end_impersonations after update of status on tenants for each row
  when (old.status = 'active' and new.status <> 'active') execute function tenants_end_impersonations();
