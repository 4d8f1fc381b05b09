-- A change that concerns one membership says so: 'u:<user id>:<epoch>:<tenant id>', with ':ended' after it when the user is
-- no active member of the tenant any more. Whoever remembers the user keeps what is remembered of them otherwise, and
-- refuses a member that is none without a query.

create function bump_member_epoch(member uuid, tenant uuid, outcome text default '') returns void language sql as $$
  with bumped as (update users set access_epoch = access_epoch + 1 where id = member returning id, access_epoch)
  select announce_change('u:' || id || ':' || access_epoch || ':' || tenant || outcome) from bumped
$$;

-- Whoever becomes a member, or gets another default, may be meant for another tenant from now on: that concerns the user.
create or replace function user_tenants_epoch() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    perform bump_member_epoch(old.user_id, old.tenant_id, ':ended');
  elsif tg_op = 'INSERT' then
    perform bump_user_epoch(new.user_id);
  elsif not new.is_active and (new.user_id, new.tenant_id) = (old.user_id, old.tenant_id) then
    perform bump_member_epoch(old.user_id, old.tenant_id, ':ended');
  else
    perform bump_user_epoch(old.user_id);
    if new.user_id <> old.user_id then
      perform bump_user_epoch(new.user_id);
    end if;
  end if;
  return null;
end $$;

-- Roles and overrides that go with their membership are no news beside it: its own trigger raises the epoch, in the same
-- transaction.
create or replace function member_access_epoch() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform bump_member_epoch(user_id, tenant_id) from (
      select distinct user_id, tenant_id from new_rows order by user_id, tenant_id
    ) as members;
  elsif tg_op = 'DELETE' then
    perform bump_member_epoch(user_id, tenant_id) from (
      select distinct user_id, tenant_id from old_rows
      where exists (
        select from user_tenants as membership
        where membership.user_id = old_rows.user_id and membership.tenant_id = old_rows.tenant_id
      ) order by user_id, tenant_id
    ) as members;
  else
    perform bump_member_epoch(user_id, tenant_id) from (
      select user_id, tenant_id from new_rows union select user_id, tenant_id from old_rows order by user_id, tenant_id
    ) as members;
  end if;
  return null;
end $$;
