-- Says that a member holds no role and no override in the tenant any more, so that no process has to read the member to know.
-- Deferred: what counts is what the whole transaction leaves. The message follows the one that raised the epoch, and that one is
-- in the log of changes: whoever misses this message reads. A process of the release before ignores it.
create function member_emptied() returns trigger language plpgsql as $$
begin
  if pg_notification_queue_usage() < 0.5 then
    perform pg_notify('tenants2fast_epochs', 'u:' || users.id || ':' || users.access_epoch || ':' || old.tenant_id || ':empty')
      from users
     where users.id = old.user_id
       and exists (select from user_tenants where user_id = old.user_id and tenant_id = old.tenant_id)
       and not exists (select from user_tenant_roles where user_id = old.user_id and tenant_id = old.tenant_id)
       and not exists (select from user_tenant_permissions where user_id = old.user_id and tenant_id = old.tenant_id);
  end if;
  return null;
end $$;

create constraint trigger user_tenant_roles_emptied after delete on user_tenant_roles
  deferrable initially deferred for each row execute function member_emptied();
create constraint trigger user_tenant_permissions_emptied after delete on user_tenant_permissions
  deferrable initially deferred for each row execute function member_emptied();
