import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'

/** A column of a table, with its type as `format_type` writes it. */
export interface Column {
  readonly name: string
  readonly type: string
  /** Whether PostgreSQL computes it: its values are not copied. */
  readonly isGenerated: boolean
}

/** A table with rows of its own: an ordinary one or a partition. Partitioned tables themselves have none. */
export interface Table {
  readonly schema: string
  readonly name: string
  readonly columns: readonly Column[]
  /** Of an extension's configuration table: which rows are the user's (`WHERE …`, may be empty). Null: no extension's. */
  readonly configuration: string | null
  /** Whether row-level security holds for the owner, too. */
  readonly isForced: boolean
}

/** A materialized view. */
export interface MaterializedView {
  readonly schema: string
  readonly name: string
  readonly isPopulated: boolean
}

/** Everything in the application's schemas that holds data. */
export interface Relations {
  readonly tables: readonly Table[]
  readonly sequences: readonly { readonly schema: string; readonly name: string }[]
  /** Each after those that it reads. */
  readonly materializedViews: readonly MaterializedView[]
  readonly largeObjects: number
}

/** SQL condition: `namespace` (an expression of type name) is a schema of the application. */
export const isApplicationSchema = (namespace: string): string =>
  `${namespace} !~ '^pg_' and ${namespace} not in ('information_schema', 'tenants2fast')`

/** SQL condition: the relation is a member of an extension. */
export const isExtensionMember = (oid: string): string => `exists (
  select from pg_catalog.pg_depend where classid = 'pg_catalog.pg_class'::pg_catalog.regclass and objid = ${oid} and deptype = 'e')`

const relationsQuery = `
  with recursive extension_member as (
    select d.objid as oid, e.extcondition[pg_catalog.array_position(e.extconfig, d.objid)] as condition,
      d.objid = any (e.extconfig) as is_configuration
    from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype = 'e'
      and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
  ), reads as (
    select distinct r.ev_class as reader, d.refobjid as read
    from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
     and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.ev_class
    where exists (select from pg_catalog.pg_class where oid = d.refobjid and relkind in ('v', 'm'))
  ), levels (oid, level) as (
    select oid, 0 from pg_catalog.pg_class where relkind in ('v', 'm')
    union
    select reads.reader, level + 1 from levels join reads on reads.read = levels.oid
  )
  select n.nspname as schema, c.relname as name, c.relkind::pg_catalog.text as kind, c.relispopulated as "isPopulated",
    c.relrowsecurity and c.relforcerowsecurity as "isForced",
    case when m.is_configuration then pg_catalog.coalesce(m.condition, '') end as configuration,
    pg_catalog.coalesce((
      select pg_catalog.json_agg(pg_catalog.json_build_object(
          'name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'isGenerated', a.attgenerated <> ''
        ) order by a.attnum)
      from pg_catalog.pg_attribute a
      where c.relkind = 'r' and a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ), '[]') as columns
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join extension_member m on m.oid = c.oid
  where c.relkind in ('r', 'S', 'm') and c.relpersistence <> 't' and ${isApplicationSchema('n.nspname')}
    and (m.oid is null or m.is_configuration)
  order by pg_catalog.coalesce((select pg_catalog.max(level) from levels where levels.oid = c.oid), 0), n.nspname, c.relname`.replaceAll(
  'pg_catalog.coalesce',
  'coalesce',
)

interface RelationRow extends Table, MaterializedView {
  readonly kind: 'r' | 'S' | 'm'
}

/**
 * Reads what holds data in the application's schemas. Of extensions, that is what they mark as configuration.
 *
 * @param client with `search_path = pg_catalog`, so that types of other schemas are qualified
 */
export async function readRelations(client: SqlClient): Promise<Relations> {
  const { rows } = await client.query<RelationRow>(relationsQuery)
  const { rows: objects } = await client.query<{ count: number }>(
    'select pg_catalog.count(*)::pg_catalog.int4 as count from pg_catalog.pg_largeobject_metadata',
  )
  const ofKind = (kind: RelationRow['kind']) => rows.filter((row) => row.kind === kind)
  return {
    tables: ofKind('r').map(({ schema, name, columns, configuration, isForced }) => ({
      ...{ schema, name, columns, configuration, isForced },
    })),
    sequences: ofKind('S').map(({ schema, name }) => ({ schema, name })),
    materializedViews: ofKind('m').map(({ schema, name, isPopulated }) => ({ schema, name, isPopulated })),
    largeObjects: objects[0]?.count ?? 0,
  }
}

/** A relation's name as SQL. */
export function quoteRelation({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`
}

/** The list of columns that are copied, in parentheses; empty: PostgreSQL takes those that it does not compute. */
export function columnList({ columns }: Pick<Table, 'columns'>): string {
  const names = columns.filter(({ isGenerated }) => !isGenerated).map(({ name }) => quoteIdentifier(name))
  return names.length === 0 ? '' : ` (${names.join(', ')})`
}

/** The differences that would make a copy incomplete or wrong, for people; empty: there are none. */
export function compareRelations(source: Relations, target: Relations): string[] {
  const kinds = [
    ['table', tableTexts(source.tables), tableTexts(target.tables)],
    ['sequence', nameTexts(source.sequences), nameTexts(target.sequences)],
    ['materialized view', nameTexts(source.materializedViews), nameTexts(target.materializedViews)],
  ] as const
  return kinds.flatMap(([kind, found, wanted]) => [
    ...[...found].flatMap(([name, text]) => {
      const other = wanted.get(name)
      if (other === undefined) return [`the ${kind} ${name} is not in the schema files`]
      return other === text ? [] : [`the ${kind} ${name} has other columns than in the schema files`]
    }),
    ...[...wanted.keys()].filter((name) => !found.has(name)).map((name) => `the ${kind} ${name} is missing`),
  ])
}

const nameTexts = (relations: readonly { readonly schema: string; readonly name: string }[]) =>
  new Map(relations.map((relation) => [quoteRelation(relation), '']))

// The order of columns does not matter: they are copied by name.
const tableTexts = (tables: readonly Table[]) =>
  new Map(
    tables.map((table) => [
      quoteRelation(table),
      JSON.stringify(table.columns.map((column) => JSON.stringify(column)).toSorted()),
    ]),
  )
