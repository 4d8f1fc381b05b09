import type { Client } from 'pg'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { isApplicationSchema, isExtensionMember } from './relations.js'

interface Index {
  /** Quoted, with its schema, as `index` is. */
  readonly table: string
  readonly index: string
  /** Name of its constraint; null: it has none. */
  readonly constraint: string | null
  readonly definition: string
  readonly comment: string | null
  readonly constraintComment: string | null
}

/** Each takes locks, in the lock table that all databases of the server share, until the transaction ends. */
const maxIndexes = 1000

// What is not plain stays, and is kept up row by row: an index that other objects need, or with properties that are not a part
// of its definition. One over a function of the application stays, too: PostgreSQL 17 builds indexes with a search path of
// its own, in which the function may not find what it finds when a row is inserted.
const plainIndexes = `
  select pg_catalog.format('%I.%I', n.nspname, t.relname) as "table", pg_catalog.format('%I.%I', n.nspname, c.relname) as index,
    k.conname as "constraint",
    case when k.oid is null then pg_catalog.pg_get_indexdef(c.oid) else pg_catalog.pg_get_constraintdef(k.oid) end as definition,
    pg_catalog.obj_description(c.oid, 'pg_class') as comment,
    pg_catalog.obj_description(k.oid, 'pg_constraint') as "constraintComment"
  from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_class t on t.oid = i.indrelid
    join pg_catalog.pg_namespace n on n.oid = t.relnamespace
    left join pg_catalog.pg_constraint k on k.conindid = c.oid and k.contype in ('p', 'u', 'x')
  where t.relkind = 'r' and ${isApplicationSchema('n.nspname')} and not ${isExtensionMember('t.oid')}
    and i.indisvalid and not i.indisclustered and not i.indisreplident and not c.relispartition and c.reltablespace = 0
    and (k.oid is null or c.reloptions is null and k.convalidated and k.conislocal)
    and not exists (
      select from pg_catalog.pg_attribute where attrelid = c.oid and attstattarget >= 0)
    and not exists (
      select from pg_catalog.pg_depend where refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and refobjid = c.oid)
    and not exists (
      select from pg_catalog.pg_depend where refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and refobjid = k.oid
        and deptype <> 'i')
    and not exists (
      select from pg_catalog.pg_depend where classid = 'pg_catalog.pg_class'::pg_catalog.regclass and objid = c.oid
        and (refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass or deptype in ('e', 'x')))
  order by c.oid
  limit ${maxIndexes}`

/**
 * Drops the indexes of the application's tables, with the constraints that they are for, and returns the statements that make
 * them again: to fill an index row by row takes several times as long as to build it once over all rows. Foreign keys are
 * gone already.
 *
 * @param client in a transaction, as the owner of the tables, with `search_path = pg_catalog`
 */
export async function dropIndexes(client: Client): Promise<string[]> {
  const { rows } = await client.query<Index>(plainIndexes)
  for (const { table, index, constraint } of rows) {
    await client.query(
      constraint === null
        ? `drop index ${index}`
        : `alter table ${table} drop constraint ${quoteIdentifier(constraint)}`,
    )
  }
  return rows.flatMap(({ table, index, constraint, definition, comment, constraintComment }) => [
    constraint === null
      ? definition
      : `alter table ${table} add constraint ${quoteIdentifier(constraint)} ${definition}`,
    ...(comment === null ? [] : [`comment on index ${index} is ${quoteLiteral(comment)}`]),
    ...(constraint === null || constraintComment === null
      ? []
      : [`comment on constraint ${quoteIdentifier(constraint)} on ${table} is ${quoteLiteral(constraintComment)}`]),
  ])
}
