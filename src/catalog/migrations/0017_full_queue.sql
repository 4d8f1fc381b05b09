-- The NOTIFY queue belongs to the whole server: one session that listens inside of an open transaction keeps it from being
-- emptied, and once it is full, every transaction that notifies fails at its commit. So changes are not notified while the
-- queue is more than half full. Their rows say so, and whoever listens reads those with each heartbeat.

alter table access_changes add column was_notified boolean not null default true;
create index access_changes_silent_idx on access_changes (transaction_id) where not was_notified;

create or replace function announce_change(said text) returns void language plpgsql as $$
declare
  number bigint;
  -- Asking also removes from the queue what nobody waits for any more.
  has_room boolean := pg_notification_queue_usage() < 0.5;
begin
  if has_room then
    perform pg_notify('tenants2fast_epochs', said);
  end if;
  insert into access_changes (change, was_notified) values (said, has_room) returning id into number;
  -- Old rows are removed by those who add new ones, a few at a time. A day is longer than a transaction stays open, and
  -- a reader that was away for longer than an hour takes everything for changed.
  if number % 1000 = 0 then
    delete from access_changes where id in (
      select id from access_changes
      where id < number and created_at < now() - interval '1 day' order by id limit 2000 for update skip locked
    );
  end if;
end $$;
