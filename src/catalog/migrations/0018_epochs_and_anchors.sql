-- An epoch names one state of a row, and never another: caches that others can write to go by that.

-- A row that is made again under an id of before (from a backup, by hand) begins where no row has been yet: at the
-- microseconds since 1970.
alter table users alter column access_epoch set default (extract(epoch from clock_timestamp()) * 1000000)::bigint;
alter table tenants alter column access_epoch set default (extract(epoch from clock_timestamp()) * 1000000)::bigint;

-- Whatever is written: no epoch falls.
create function epochs_are_kept() returns trigger language plpgsql as $$
begin
  new.access_epoch := old.access_epoch;
  return new;
end $$;
create trigger users_epoch_kept before update of access_epoch on users for each row
  when (new.access_epoch < old.access_epoch) execute function epochs_are_kept();
create trigger tenants_epoch_kept before update of access_epoch on tenants for each row
  when (new.access_epoch < old.access_epoch) execute function epochs_are_kept();
create function rules_epoch_is_kept() returns trigger language plpgsql as $$
begin
  new.rules_epoch := old.rules_epoch;
  return new;
end $$;
create trigger rules_epoch_kept before update of rules_epoch on installation for each row
  when (new.rules_epoch < old.rules_epoch) execute function rules_epoch_is_kept();

-- A tenant is remembered with its whole row: every column counts, also those that decide over nothing. Runs after
-- tenants_epoch (triggers go by name), which has raised the epoch already for those that do.
create function tenants_row_epoch() returns trigger language plpgsql as $$
declare
  earlier tenants := old;
begin
  earlier.access_epoch := new.access_epoch;
  if new.access_epoch <= old.access_epoch and new is distinct from earlier then
    new.access_epoch := old.access_epoch + 1;
    perform announce_change('t:' || new.id || ':' || new.access_epoch);
  end if;
  return new;
end $$;
create trigger tenants_row_epoch before update on tenants for each row execute function tenants_row_epoch();

-- An update that changes nothing changes no time either, which would be a change without an epoch.
drop trigger tenants_updated_at on tenants;
create trigger tenants_updated_at before update on tenants for each row
  when (new.* is distinct from old.*) execute function set_updated_at();
