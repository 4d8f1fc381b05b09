import { roleName } from './structure-texts.js'

/** Facts of the database itself, and of the settings that sessions in it start with. */
export const settingRows = `
  setting_facts (object, kind, name, definition) as (
    select 'database', 'database', '', pg_catalog.concat_ws(' ', 'encoding', pg_catalog.pg_encoding_to_char(d.encoding),
           'collation', pg_catalog.quote_ident(d.datcollate), 'character type', pg_catalog.quote_ident(d.datctype))
      from pg_catalog.pg_database d where d.datname = $1
    union all
    select 'database', 'owner', '', ${roleName('d.datdba')} from pg_catalog.pg_database d where d.datname = $1
    union all
    select 'database', 'setting',
           pg_catalog.split_part(entry, '=', 1) ||
             case when s.setrole = 0 then '' else ' of ' || ${roleName('s.setrole')} end,
           pg_catalog.substr(entry, pg_catalog.strpos(entry, '=') + 1)
      from pg_catalog.pg_db_role_setting s
      join pg_catalog.pg_database d on d.oid = s.setdatabase and d.datname = $1,
           lateral pg_catalog.unnest(s.setconfig) as entry
     where pg_catalog.split_part(entry, '=', 1) <> all ($5::pg_catalog.text[])
  )`
