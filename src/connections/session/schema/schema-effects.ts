import { schemaFingerprintParts, withoutTenantsOperators } from './schema-fingerprint.js'
import type { StatementFacts } from '../statement-effects.js'

/**
 * The code that a database runs behind the names in a statement: functions of the application in triggers, views,
 * policies, defaults, constraints and indexes, and functions of PostgreSQL there that keep session state. (`nextval` is
 * one: the next user could ask `lastval()`.) The text of a statement does not show it.
 */
export interface SchemaEffects {
  /** Operators, casts or types of the application run code, which no name in a statement shows. */
  readonly everywhere: boolean
  /** Names that run code when they are read. */
  readonly onRead: ReadonlySet<string>
  /** Tables that run code for new rows. */
  readonly onInsert: ReadonlySet<string>
  /** Tables that run code when they are changed. */
  readonly onWrite: ReadonlySet<string>
}

/** Whether a statement, clean by its text, runs code that may leave something in the session. */
export function hasSchemaEffects(effects: SchemaEffects, { names, inserts, writes }: StatementFacts): boolean {
  return (
    effects.everywhere ||
    shareName(names, effects.onRead) ||
    (inserts && shareName(names, effects.onInsert)) ||
    (writes && shareName(names, effects.onWrite))
  )
}

function shareName(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  if (other.size === 0) return false
  for (const name of one) if (other.has(name)) return true
  return false
}

/** A row of {@link schemaEffectsQuery}. */
export interface SchemaEffectsRow {
  readonly fingerprint_parts: readonly string[]
  readonly everywhere: boolean
  readonly on_read: readonly string[]
  readonly on_insert: readonly string[]
  readonly on_write: readonly string[]
}

/** Reads a row. All databases with the same schema share one object. */
export function schemaEffectsFrom(row: SchemaEffectsRow): SchemaEffects {
  const key = JSON.stringify([row.everywhere, row.on_read, row.on_insert, row.on_write])
  const known = shared.get(key)
  if (known !== undefined) return known
  const effects = {
    everywhere: row.everywhere,
    onRead: new Set(row.on_read),
    onInsert: new Set(row.on_insert),
    onWrite: new Set(row.on_write),
  }
  if (shared.size >= maxShared) shared.clear()
  shared.set(key, effects)
  return effects
}

const shared = new Map<string, SchemaEffects>()
const maxShared = 100

/** Functions of PostgreSQL that are volatile because of their result, and leave nothing behind. */
const harmless = ['clock_timestamp', 'gen_random_uuid', 'random', 'random_normal', 'timeofday', 'uuidv4', 'uuidv7']

/** Whether a stored expression calls a function of PostgreSQL that may keep session state. */
const keepsState = (tree: string): string => `exists (
    select from pg_catalog.regexp_matches(${tree}::pg_catalog.text, ':(?:funcid|opfuncid) ([0-9]+)', 'g') as called
      join pg_catalog.pg_proc p on p.oid = called[1]::pg_catalog.oid
     where p.oid < 16384 and p.provolatile = 'v' and p.proname not in (${harmless.map((name) => `'${name}'`).join(', ')})
  )`

/**
 * Asks the catalogs of a database for its {@link SchemaEffects}; any role may. Objects made after initdb have an oid of
 * 16384 or more. Functions of extensions are trusted. An object that PostgreSQL records as depending on a function of the
 * application runs it. If the object is not known to belong to a table, its code counts as running everywhere. The fingerprint is of the same
 * snapshot. What is added here and can change without {@link schemaFingerprintParts} has to be added there, too.
 */
export const schemaEffectsQuery = `${withoutTenantsOperators}
  with recursive code as (
    select p.oid, p.proname from pg_catalog.pg_proc p
     where p.oid >= 16384
       and not exists (
         select from pg_catalog.pg_depend d
          where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e'
       )
  ), runs as (
    select d.classid, d.objid from code
      join pg_catalog.pg_depend d
        on d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.refobjid = code.oid
    union select 'pg_catalog.pg_rewrite'::pg_catalog.regclass, oid from pg_catalog.pg_rewrite
     where oid >= 16384 and (${keepsState('ev_action')} or ${keepsState('ev_qual')})
    union select 'pg_catalog.pg_attrdef'::pg_catalog.regclass, oid from pg_catalog.pg_attrdef
     where oid >= 16384 and ${keepsState('adbin')}
    union select 'pg_catalog.pg_policy'::pg_catalog.regclass, oid from pg_catalog.pg_policy
     where ${keepsState('polqual')} or ${keepsState('polwithcheck')}
    union select 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid from pg_catalog.pg_constraint
     where oid >= 16384 and contype = 'c' and ${keepsState('conbin')}
  ), marked (rel, kind) as (
    select tgrelid, 'write' from runs join pg_catalog.pg_trigger t on t.oid = objid
     where classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
    union select ev_class, case ev_type when '1' then 'read' else 'write' end from runs
      join pg_catalog.pg_rewrite r on r.oid = objid
     where classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    union select adrelid, case attgenerated when '' then 'insert' when 's' then 'write' else 'read' end from runs
      join pg_catalog.pg_attrdef d on d.oid = objid
      join pg_catalog.pg_attribute a on a.attrelid = adrelid and a.attnum = adnum
     where classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
    union select polrelid, 'read' from runs join pg_catalog.pg_policy p on p.oid = objid
     where classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
    union select conrelid, 'write' from runs join pg_catalog.pg_constraint c on c.oid = objid
     where classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and conrelid <> 0
    union select indrelid, 'write' from runs join pg_catalog.pg_index i on i.indexrelid = objid
     where classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    union select partrelid, 'read' from runs join pg_catalog.pg_partitioned_table on partrelid = objid
     where classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    union select attrelid, 'insert' from pg_catalog.pg_attribute where attrelid >= 16384 and attidentity <> ''
    union select 'pg_catalog.pg_settings'::pg_catalog.regclass::pg_catalog.oid, 'write'
  ), linked (rel, target, deep) as (
    -- A view or a rule runs what the tables in it run; a change of a parent reaches its children.
    select distinct r.ev_class, d.refobjid, r.ev_type <> '1' from pg_catalog.pg_rewrite r
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
       and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.ev_class
     where r.oid >= 16384
    union select inhparent, inhrelid, false from pg_catalog.pg_inherits
    union select confrelid, conrelid, true from pg_catalog.pg_constraint
     where contype = 'f' and (confdeltype in ('c', 'n', 'd') or confupdtype in ('c', 'n', 'd'))
  ), reached (rel, kind) as (
    select rel, kind from marked
    union select linked.rel, case when deep then 'write' else kind end from reached join linked on target = reached.rel
  ), named (name, kind) as (
    select relname::pg_catalog.text, kind from reached join pg_catalog.pg_class c on c.oid = reached.rel
    union select proname::pg_catalog.text, 'read' from code
  )
  select array[${schemaFingerprintParts.join(', ')}] as fingerprint_parts,
    exists (
      select from runs left join pg_catalog.pg_constraint c
        on classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and c.oid = objid
       where c.conrelid = 0 or classid not in (
         'pg_catalog.pg_trigger'::pg_catalog.regclass, 'pg_catalog.pg_rewrite'::pg_catalog.regclass,
         'pg_catalog.pg_attrdef'::pg_catalog.regclass, 'pg_catalog.pg_policy'::pg_catalog.regclass,
         'pg_catalog.pg_constraint'::pg_catalog.regclass, 'pg_catalog.pg_class'::pg_catalog.regclass,
         'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_event_trigger'::pg_catalog.regclass
       )
    ) as everywhere,
    array(select name from named where kind = 'read' order by name) as on_read,
    array(select name from named where kind = 'insert' order by name) as on_insert,
    array(select name from named where kind = 'write' order by name) as on_write`
