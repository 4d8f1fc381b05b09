-- Counts a request under each key, in this order, until one is beyond its points: what is refused there does not count under the
-- keys behind it. Returns, for each counted key, how often it was counted in its window and how long the window lasts still.
-- One statement for all keys; the rows are those that rate-limiter-flexible writes as well.
create function count_requests(
  keys text[], most integer[], window_seconds integer[], out consumed integer, out ms_left bigint
) returns setof record language plpgsql as $$
declare
  now_ms bigint := extract(epoch from clock_timestamp()) * 1000;
begin
  for i in 1 .. cardinality(keys) loop
    -- Read first, so that a flood of refused requests writes nothing and waits for no lock.
    select points, expire - now_ms into consumed, ms_left from limited_requests
     where key = keys[i] and points > most[i] and expire > now_ms;
    if not found then
      insert into limited_requests as known (key, points, expire) values (keys[i], 1, now_ms + window_seconds[i] * 1000::bigint)
        on conflict (key) do update set
          points = case when known.expire <= now_ms then 1 else least(known.points, most[i]) + 1 end,
          expire = case when known.expire <= now_ms then excluded.expire else known.expire end
        returning points, expire - now_ms into consumed, ms_left;
    end if;
    return next;
    exit when consumed > most[i];
  end loop;
  -- Old rows go along, more of them than were added. Last, because nothing waits for a lock after it.
  if random() < 0.05 then
    delete from limited_requests where key = any (array(
      select key from limited_requests where expire <= now_ms order by expire limit 200 for update skip locked
    ));
  end if;
end $$;

-- Stored answers with the address of a user who is deleted go, too: an invitation's has it, and that of the user's creation.
create function users_erased_answers() returns trigger language plpgsql as $$
begin
  delete from idempotent_requests where plain_address(body ->> 'email') = plain_address(old.email);
  return null;
end $$;
create trigger users_erased_answers after delete on users
  for each row execute function users_erased_answers();
