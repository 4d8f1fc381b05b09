import { granteeName, isNoMember, roleName, signature } from './structure-texts.js'

/** A row an object whose privileges are compared; `prefix` begins the fact's name. */
const acl = (object: string, prefix: string, list: string, from: string) =>
  `select ${object}, ${prefix}, ${list} from ${from}`

/** The privileges of an object; those that it has without a GRANT or REVOKE, if there was none. */
const withDefault = (list: string, kind: string, owner: string) =>
  `coalesce(${list}, pg_catalog.acldefault(${kind}, ${owner}))`

const privileges = (separator: string) =>
  `pg_catalog.string_agg(distinct x.privilege_type || case when x.is_grantable then ' with grant option' else '' end,
    '${separator}')`

/**
 * Facts of privileges: one for each role that an object is granted to, with the privileges sorted (`DISTINCT` sorts, and their names
 * are ASCII). Of an extension's objects, those that somebody has granted or revoked something on.
 */
export const grantRows = `
  acls (object, prefix, acl) as (
    ${[
      acl("'schema ' || n.name", "''", withDefault('n.acl', "'n'", 'n.owner'), 'schemas n'),
      acl(
        'c.object',
        "''",
        withDefault('c.relacl', `case c.relkind when 'S' then 's' else 'r' end::"char"`, 'c.relowner'),
        'relations c',
      ),
      acl(
        'c.object',
        "'column ' || pg_catalog.quote_ident(a.attname) || ' to '",
        'a.attacl',
        'relations c join pg_catalog.pg_attribute a on a.attrelid = c.oid where a.attacl is not null and not a.attisdropped',
      ),
      acl("'function ' || f.name", "''", withDefault('f.proacl', "'f'", 'f.proowner'), 'functions f'),
      acl("'type ' || t.name", "''", withDefault('t.typacl', "'T'", 't.typowner'), 'types t'),
      acl(
        "'server ' || pg_catalog.quote_ident(s.srvname)",
        "''",
        withDefault('s.srvacl', "'S'", 's.srvowner'),
        `pg_catalog.pg_foreign_server s where ${isNoMember('pg_foreign_server', 's.oid')}`,
      ),
      acl(
        "'extension ' || m.extension",
        `${signature('p')} || ' to '`,
        'p.proacl',
        `members m join pg_catalog.pg_proc p on p.oid = m.objid
          where m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and p.proacl is not null`,
      ),
      acl(
        "'extension ' || m.extension",
        "pg_catalog.quote_ident(c.relname) || ' to '",
        'c.relacl',
        `members m join pg_catalog.pg_class c on c.oid = m.objid
          where m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and c.relacl is not null`,
      ),
      acl(
        "'default privileges'",
        `case e.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
          when 'n' then 'schemas' else 'objects' end || ' of ' || ${roleName('e.defaclrole')} ||
          coalesce(' in ' || (select name from schemas where schemas.oid = e.defaclnamespace), '') || ' to '`,
        'e.defaclacl',
        'pg_catalog.pg_default_acl e',
      ),
      acl(
        "'database'",
        "''",
        withDefault('d.datacl', "'d'", 'd.datdba'),
        'pg_catalog.pg_database d where d.datname = $1',
      ),
    ].join('\n    union all\n    ')}
  ),
  grant_facts (object, kind, name, definition) as (
    select a.object, 'grant', a.prefix || ${granteeName('x.grantee')}, ${privileges(', ')}
      from acls a, lateral pg_catalog.aclexplode(a.acl) x
     where x.grantee = 0 or pg_catalog.pg_get_userbyid(x.grantee) <> all ($6::pg_catalog.name[])
     group by a.object, a.prefix, x.grantee
    union all
    -- What a build gives the role of each database.
    select 'database', 'grant', label, 'CONNECT, TEMPORARY'
      from pg_catalog.unnest($3::pg_catalog.text[]) as label where $4::pg_catalog.bool
  )`
