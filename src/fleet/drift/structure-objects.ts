import { isNoMember, present, roleName, signature, sortedList } from './structure-texts.js'

// Oids below are given by initdb.
const firstOwnOid = 16384

const typeDefinition = `case t.typtype
  when 'e' then 'enum ' || coalesce((select pg_catalog.string_agg(pg_catalog.quote_literal(enumlabel), ', ' order by enumsortorder)
     from pg_catalog.pg_enum where enumtypid = t.oid), '()')
  when 'd' then pg_catalog.concat_ws(' ', 'domain over', pg_catalog.format_type(t.typbasetype, t.typtypmod),
     case when t.typcollation <> (select b.typcollation from pg_catalog.pg_type b where b.oid = t.typbasetype)
       then 'collate ' || t.typcollation::pg_catalog.regcollation::pg_catalog.text end,
     case when t.typnotnull then 'not null' end, 'default ' || t.typdefault)
  when 'r' then (select pg_catalog.concat_ws(' ', 'range over', pg_catalog.format_type(r.rngsubtype, null),
       case when r.rngcollation <> 0 then 'collate ' || r.rngcollation::pg_catalog.regcollation::pg_catalog.text end,
       case when r.rngsubdiff <> 0 then 'difference ' || r.rngsubdiff::pg_catalog.regprocedure::pg_catalog.text end)
     from pg_catalog.pg_range r where r.rngtypid = t.oid)
  when 'c' then 'composite ' || coalesce((select pg_catalog.string_agg(
       pg_catalog.quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
     from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped), '()')
  else pg_catalog.concat_ws(' ', 'base type', t.typlen, t.typalign::pg_catalog.text, t.typstorage::pg_catalog.text) end`

// pg_get_functiondef refuses aggregates.
const aggregateDefinition = `(select pg_catalog.concat_ws(' ', 'aggregate', 'state', pg_catalog.format_type(g.aggtranstype, null),
    'by', g.aggtransfn::pg_catalog.regprocedure::pg_catalog.text,
    case when g.aggfinalfn <> 0 then 'final ' || g.aggfinalfn::pg_catalog.regprocedure::pg_catalog.text end,
    'initially ' || pg_catalog.quote_literal(g.agginitval))
  from pg_catalog.pg_aggregate g where g.aggfnoid = p.oid)`

/** Objects in no schema of the application's or of a rare kind, by the name that PostgreSQL identifies them by. */
const identified = (catalog: string, oid: string, owner: string, condition: string) =>
  `select i.type || ' ' || i.identity as object, i.type as kind, i.identity as name, ${owner} as owner
     from pg_catalog.${catalog} o,
          lateral pg_catalog.pg_identify_object('pg_catalog.${catalog}'::pg_catalog.regclass, o.${oid}, 0) i
    where o.${oid} >= ${firstOwnOid} and ${condition} and ${isNoMember(catalog, `o.${oid}`)}`

const inSchemas = (column: string) => `o.${column} in (select oid from schemas)`

/** Facts of everything that is no relation. */
export const objectRows = `
  functions as (
    select p.*, n.name || '.' || ${signature('p')} as name
      from pg_catalog.pg_proc p join schemas n on n.oid = p.pronamespace where ${isNoMember('pg_proc', 'p.oid')}
  ),
  types as (
    select t.*, n.name || '.' || pg_catalog.quote_ident(t.typname) as name
      from pg_catalog.pg_type t join schemas n on n.oid = t.typnamespace
     where t.typtype in ('e', 'd', 'r', 'c', 'b', 'p') and ${isNoMember('pg_type', 't.oid')}
       -- Every table has a type, and every type has an array of it.
       and (t.typrelid = 0 or exists (select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
       and not exists (select from pg_catalog.pg_type e where e.typarray = t.oid)
  ),
  rare as (
    ${[
      identified('pg_operator', 'oid', 'o.oprowner', inSchemas('oprnamespace')),
      identified('pg_opclass', 'oid', 'o.opcowner', inSchemas('opcnamespace')),
      identified('pg_opfamily', 'oid', 'o.opfowner', inSchemas('opfnamespace')),
      identified('pg_collation', 'oid', 'o.collowner', inSchemas('collnamespace')),
      identified('pg_conversion', 'oid', 'o.conowner', inSchemas('connamespace')),
      identified('pg_ts_config', 'oid', 'o.cfgowner', inSchemas('cfgnamespace')),
      identified('pg_ts_dict', 'oid', 'o.dictowner', inSchemas('dictnamespace')),
      identified('pg_language', 'oid', 'o.lanowner', 'true'),
      identified('pg_foreign_data_wrapper', 'oid', 'o.fdwowner', 'true'),
      identified('pg_foreign_server', 'oid', 'o.srvowner', 'true'),
      identified('pg_publication', 'oid', 'o.pubowner', 'true'),
      identified('pg_cast', 'oid', 'null::pg_catalog.oid', 'true'),
      identified('pg_transform', 'oid', 'null::pg_catalog.oid', 'true'),
      identified('pg_am', 'oid', 'null::pg_catalog.oid', 'true'),
    ].join('\n    union all\n    ')}
  ),
  object_facts (object, kind, name, definition) as (
    select 'schema ' || n.name, 'schema', n.name, ${present} from schemas n where ${isNoMember('pg_namespace', 'n.oid')}
    union all
    select 'schema ' || n.name, 'owner', '', ${roleName('n.owner')}
      from schemas n where ${isNoMember('pg_namespace', 'n.oid')}
    union all
    select 'extension ' || pg_catalog.quote_ident(e.extname), 'extension', pg_catalog.quote_ident(e.extname),
           'version ' || e.extversion || ' in ' || e.extnamespace::pg_catalog.regnamespace::pg_catalog.text
      from pg_catalog.pg_extension e
    union all
    select 'function ' || f.name, 'function', f.name,
           case f.prokind when 'a' then ${aggregateDefinition.replaceAll('p.oid', 'f.oid')}
             else pg_catalog.pg_get_functiondef(f.oid) end
      from functions f
    union all
    select 'function ' || f.name, 'owner', '', ${roleName('f.proowner')} from functions f
    union all
    select 'type ' || t.name, 'type', t.name, ${typeDefinition} from types t
    union all
    select 'type ' || t.name, 'owner', '', ${roleName('t.typowner')} from types t
    union all
    select 'type ' || t.name, 'constraint', pg_catalog.quote_ident(k.conname), pg_catalog.pg_get_constraintdef(k.oid)
      from types t join pg_catalog.pg_constraint k on k.contypid = t.oid
     where not (k.contype = 'n' and k.convalidated)
    union all
    select r.object, r.kind, r.name, ${present} from rare r
    union all
    select r.object, 'owner', '', ${roleName('r.owner')} from rare r where r.owner is not null
    union all
    select 'operator ' || i.identity, 'function', '', o.oprcode::pg_catalog.regprocedure::pg_catalog.text
      from pg_catalog.pg_operator o,
           lateral pg_catalog.pg_identify_object('pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, 0) i
     where o.oid >= ${firstOwnOid} and ${inSchemas('oprnamespace')} and ${isNoMember('pg_operator', 'o.oid')}
    union all
    select i.type || ' ' || i.identity, 'function', '', pg_catalog.concat_ws(' ',
           o.castcontext::pg_catalog.text, o.castmethod::pg_catalog.text,
           case when o.castfunc <> 0 then o.castfunc::pg_catalog.regprocedure::pg_catalog.text end)
      from pg_catalog.pg_cast o,
           lateral pg_catalog.pg_identify_object('pg_catalog.pg_cast'::pg_catalog.regclass, o.oid, 0) i
     where o.oid >= ${firstOwnOid} and ${isNoMember('pg_cast', 'o.oid')}
    union all
    select 'server ' || pg_catalog.quote_ident(s.srvname), 'options', '', ${sortedList('s.srvoptions')}
      from pg_catalog.pg_foreign_server s where s.srvoptions is not null and ${isNoMember('pg_foreign_server', 's.oid')}
    union all
    select 'event trigger ' || pg_catalog.quote_ident(e.evtname), 'event trigger', pg_catalog.quote_ident(e.evtname),
           pg_catalog.concat_ws(' ', 'on', e.evtevent, ${sortedList('e.evttags')}, 'execute',
             e.evtfoid::pg_catalog.regprocedure::pg_catalog.text, 'enabled', e.evtenabled::pg_catalog.text)
      from pg_catalog.pg_event_trigger e where ${isNoMember('pg_event_trigger', 'e.oid')}
    union all
    select 'publication ' || pg_catalog.quote_ident(p.pubname), 'tables', '', pg_catalog.concat_ws(', ',
           case when p.puballtables then 'all tables' end,
           (select pg_catalog.string_agg(r.prrelid::pg_catalog.regclass::pg_catalog.text, ', '
              order by r.prrelid::pg_catalog.regclass::pg_catalog.text collate "C")
              from pg_catalog.pg_publication_rel r where r.prpubid = p.oid))
      from pg_catalog.pg_publication p where ${isNoMember('pg_publication', 'p.oid')}
  )`
