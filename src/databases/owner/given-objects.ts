import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'

/** Kinds of objects with a name in a schema, as ALTER … OWNER calls them: catalog, columns of name, schema and owner, condition. */
const named = [
  ['collation', 'pg_collation', 'collname', 'collnamespace', 'collowner'],
  ['conversion', 'pg_conversion', 'conname', 'connamespace', 'conowner'],
  ['statistics', 'pg_statistic_ext', 'stxname', 'stxnamespace', 'stxowner'],
  ['text search configuration', 'pg_ts_config', 'cfgname', 'cfgnamespace', 'cfgowner'],
  ['text search dictionary', 'pg_ts_dict', 'dictname', 'dictnamespace', 'dictowner'],
] as const

const isFree = (catalog: string) =>
  `not exists (select from pg_depend d where d.classid = '${catalog}'::regclass and d.objid = o.oid and d.deptype = 'e')`

/**
 * SQL that gives everything of the current account in the schemas of the application to a group. A schema in which that
 * group may make nothing is somebody else's: what the account has there stays. Bare names are PostgreSQL's own, because the
 * search path is pg_catalog alone.
 *
 * @param account SQL of the role whose objects they are. Default: the current account
 */
export function givenObjects(owners: string, account = 'to_regrole(quote_ident(current_user))'): string {
  const group = quoteLiteral(quoteIdentifier(owners))
  const inSchema = (catalog: string, schema: string, owner: string) =>
    `from ${catalog} o join ours n on n.oid = o.${schema} where o.${owner} = account and ${isFree(catalog)}`
  return `do $do$
    declare
      command text;
      account constant oid := ${account};
    begin
      for command in
        select format('alter schema %I owner to %s', nspname, ${group}) from pg_namespace o
         where nspname !~ '^pg_' and nspname not in ('information_schema', 'tenants2fast') and ${isFree('pg_namespace')}
           and (nspowner = account or (nspname = 'public' and nspowner = 'pg_database_owner'::regrole))
      loop execute command; end loop;
      for command in
        with ours (oid, nspname) as (
          select oid, nspname from pg_namespace
           where nspname !~ '^pg_' and nspname not in ('information_schema', 'tenants2fast')
             and has_schema_privilege(${quoteLiteral(owners)}::name, oid, 'create')
        )
        -- A sequence of a column follows its table.
        select format('alter %s %I.%I owner to %s',
                 case relkind when 'S' then 'sequence' when 'v' then 'view' when 'm' then 'materialized view'
                   when 'f' then 'foreign table' else 'table' end, nspname, relname, ${group})
          ${inSchema('pg_class', 'relnamespace', 'relowner')}
           and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
           and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = o.oid
                             and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') and o.relkind = 'S')
        union all
        select format('alter routine %s owner to %s', o.oid::regprocedure, ${group})
          ${inSchema('pg_proc', 'pronamespace', 'proowner')}
           -- The constructors of a range belong to PostgreSQL, whoever makes the range.
           and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = o.oid and d.deptype = 'i')
        union all
        -- Every table has a type, every type an array, every range a multirange: they follow.
        select format('alter type %I.%I owner to %s', nspname, typname, ${group})
          ${inSchema('pg_type', 'typnamespace', 'typowner')}
           and typtype in ('b', 'c', 'd', 'e', 'r') and not exists (select from pg_type e where e.typarray = o.oid)
           and (typrelid = 0 or exists (select from pg_class c where c.oid = typrelid and c.relkind = 'c'))
        union all
        select format('alter operator %s owner to %s', o.oid::regoperator, ${group})
          ${inSchema('pg_operator', 'oprnamespace', 'oprowner')}
        union all
        select format('alter operator class %I.%I using %I owner to %s', nspname, opcname,
                      (select amname from pg_am where pg_am.oid = opcmethod), ${group})
          ${inSchema('pg_opclass', 'opcnamespace', 'opcowner')}
        union all
        select format('alter operator family %I.%I using %I owner to %s', nspname, opfname,
                      (select amname from pg_am where pg_am.oid = opfmethod), ${group})
          ${inSchema('pg_opfamily', 'opfnamespace', 'opfowner')}
        union all
        ${named
          .map(
            ([kind, catalog, name, schema, owner]) =>
              `select format('alter ${kind} %I.%I owner to %s', nspname, ${name}, ${group})
          ${inSchema(catalog, schema, owner)}`,
          )
          .join('\n        union all\n        ')}
        union all
        -- Those of all tables, or of all tables of a schema, are for superusers only.
        select format('alter publication %I owner to %s', pubname, ${group}) from pg_publication o
         where pubowner = account and not puballtables and ${isFree('pg_publication')}
           and not exists (select from pg_publication_namespace where pnpubid = o.oid)
        union all
        select format('alter large object %s owner to %s', oid, ${group}) from pg_largeobject_metadata where lomowner = account
      loop execute command; end loop;
      -- On older servers, a multirange does not follow its range.
      for command in
        select format('alter type %I.%I owner to %s', nspname, typname, ${group})
          from pg_type o join pg_namespace n on n.oid = typnamespace
         where typowner = account and typtype = 'm' and ${isFree('pg_type')}
           and nspname !~ '^pg_' and nspname not in ('information_schema', 'tenants2fast')
           and has_schema_privilege(${quoteLiteral(owners)}::name, n.oid, 'create')
      loop execute command; end loop;
    end $do$`
}
