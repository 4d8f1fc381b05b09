import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { notCarriedSettings } from '../building/database-settings.js'
import { ownerSuffix } from '../database-names.js'

// The part of our own schema that came with the owner logins. A database of an earlier release lacks it until its first
// migration (`give-over.ts`).

const functionName = 'tenants2fast.set_database_setting'
const signature = `${functionName}(text, text)`

/** SQL expression: whether a database has what the functions below make. */
export const hasOwners = `pg_catalog.to_regprocedure(${quoteLiteral('tenants2fast.set_database_setting(pg_catalog.text, pg_catalog.text)')}) is not null`

/** Modules that read settings of their own and come without a control file, so that the server does not list them. */
const modules = ['auto_explain', 'auth_delay', 'pgaudit', 'plperl', 'pltcl', 'plpython', 'passwordcheck', 'sepgsql']

const list = (names: Iterable<string>) => [...names].map((name) => quoteLiteral(name)).join(', ')

/**
 * SQL of `tenants2fast.set_database_setting(name, value)`: `ALTER DATABASE … SET` takes the owner of the database, which
 * files of the application do not run as. A value of null resets. It runs with the rights of the provisioning account, so it
 * takes only what any session may set for itself: no setting that only a superuser may change, that loads code or changes the
 * role. It serves the owner login of this database alone, whatever role that has taken on; a function of the application
 * that a tenant calls runs in the tenant's session, and is refused.
 *
 * Its search path names `pg_temp`, last: unnamed, it comes first, and a temporary view or domain of the caller would stand for
 * `pg_settings` or `text`, and run the caller's functions with the rights of this account.
 */
export function setDatabaseSettingSql(owners: string): string {
  return `
  create or replace function ${functionName}(setting text, value text) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $function$
  declare
    named constant text := lower(setting);
    target constant text := format('alter database %I', current_database());
    -- A name with a dot, in two parts, belongs to an extension or to the application.
    identifier constant text := (select string_agg(format('%I', part), '.') from unnest(string_to_array(named, '.')) as part);
    from_current constant text := target || format(' set %s from current', identifier);
  begin
    if session_user <> (current_database() || ${quoteLiteral(ownerSuffix)})::name then
      raise exception 'settings of the database are set by its migrations only' using errcode = 'insufficient_privilege';
    end if;
    if named in (${list(notCarriedSettings)})
      or exists (select from pg_settings where lower(name) = named and context <> 'user')
      or split_part(named, '.', 1) in (${list(modules)})
      or (named like '%.%' and not exists (select from pg_settings where lower(name) = named)
          and exists (select from pg_available_extensions where name = split_part(named, '.', 1))) then
      raise exception 'the setting "%" is for administrators', named using errcode = 'insufficient_privilege';
    end if;
    if value is null then
      execute target || format(' reset %s', identifier);
    elsif named in ('search_path', 'temp_tablespaces') then
      -- A list of names that are quoted already: as one literal it would become one name. From here on, this function has
      -- the caller's search path: no operator, and no function.
      perform set_config(named, value, true);
      execute from_current;
    else
      execute target || format(' set %s to %L', identifier, value);
    end if;
  end $function$;
  revoke all on function ${signature} from public;
  grant execute on function ${signature} to ${quoteIdentifier(owners)}`
}
