-- How often somebody tried to log in, register or have a mail sent: what limits the guessing of passwords.

-- An ordinary table, not an unlogged one: those are empty after a crash and on a promoted standby, and with them the limits.
create table account_attempts (
  -- HMAC of what is counted and for whom, so that no e-mail or network address can be read here.
  key bytea primary key,
  count integer not null check (count >= 0),
  -- End of the window that `count` belongs to; afterwards the row means nothing and is deleted by whoever comes next.
  expires_at timestamptz not null
);
create index account_attempts_expires_at_idx on account_attempts (expires_at);

-- Counts one attempt under each key, in order. 0: all are below their limit. Otherwise the seconds until the first
-- key that is at its limit opens again; the keys after it are not counted. A window begins with its first attempt and
-- is not prolonged by refused ones.
-- Locks are taken in the order of the keys; callers agree on one (see attempt-limits.ts).
create function take_account_attempt(keys bytea[], limits integer[], window_seconds integer[]) returns integer
language plpgsql as $$
declare
  wait_seconds integer;
begin
  for i in 1 .. cardinality(keys) loop
    -- Looked at first, so that a flood of refused attempts writes nothing and waits for no lock.
    if not exists (
      select from account_attempts where key = keys[i] and count >= limits[i] and expires_at > now()
    ) then
      insert into account_attempts as attempts (key, count, expires_at)
        values (keys[i], 1, now() + make_interval(secs => window_seconds[i]))
        on conflict (key) do update set
          count = case when attempts.expires_at <= now() then 1 else attempts.count + 1 end,
          expires_at = case when attempts.expires_at <= now() then excluded.expires_at else attempts.expires_at end
          where attempts.count < limits[i] or attempts.expires_at <= now();
      continue when found;
    end if;
    select ceil(extract(epoch from expires_at - now())) into wait_seconds from account_attempts where key = keys[i];
    return greatest(wait_seconds, 1);
  end loop;
  -- More rows go than an attempt can add, so expired ones never pile up. Last, for nothing is waited for from here on.
  delete from account_attempts where key = any (array(
    select key from account_attempts where expires_at <= now() order by expires_at limit 8 for update skip locked
  ));
  return 0;
end $$;

-- Takes back an attempt that succeeded: one less under `counted`, and nothing left under `cleared`.
create function forgive_account_attempts(counted bytea, cleared bytea[]) returns void language plpgsql as $$
begin
  update account_attempts set count = count - 1 where key = counted and count > 0 and expires_at > now();
  -- One by one, in the order in which take_account_attempt locks them.
  for i in 1 .. cardinality(cleared) loop
    delete from account_attempts where key = cleared[i];
  end loop;
end $$;
