import type { MigrationFolder } from '../../core/tenants/migration.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'

/** A table in which a tool lists what it has applied. */
export interface ToolTable {
  readonly schema: string
  readonly table: string
}

export const toolTable = (given: NonNullable<MigrationFolder['toolTable']>, usual: ToolTable): ToolTable => ({
  schema: given.schema ?? usual.schema,
  table: given.table ?? usual.table,
})

/** For messages. */
export const describeTable = ({ schema, table }: ToolTable): string => `${schema}.${table}`

/** For statements. */
export const quoteTable = ({ schema, table }: ToolTable): string =>
  `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`

/** SQL that makes the schema and the table where they are missing, and keeps a role out. `columns`: with their types. */
export function createToolTable(target: ToolTable, columns: string, members: string | undefined): string {
  const schema = target.schema === 'public' ? '' : `create schema if not exists ${quoteIdentifier(target.schema)};`
  const revoked =
    members === undefined ? '' : `; revoke all on table ${quoteTable(target)} from ${quoteIdentifier(members)}`
  return `${schema} create table if not exists ${quoteTable(target)} (${columns})${revoked}`
}

/** SQL that takes every privilege on the table from a role, if the table exists. */
export const keepTableFrom = (target: ToolTable, members: string): string =>
  ifExists(target, `revoke all on table ${quoteTable(target)} from ${quoteIdentifier(members)}`)

/** SQL that runs a statement if the table exists. */
export function ifExists(target: ToolTable, statement: string): string {
  const name = quoteLiteral(quoteTable(target))
  return `do ${quoteLiteral(`begin if pg_catalog.to_regclass(${name}) is not null then ${statement}; end if; end`)}`
}

// More than any folder has: whoever may write to the table must not fill our memory.
const maxRows = 20_000

/**
 * Reads rows of the table; undefined: it does not exist. In a database that others could write to, a view or a table with
 * policies of theirs would run their code as this account: such a table is not read, and one with triggers or rules, which
 * would be run by our rows, neither.
 *
 * @param columns those that are read; `optional` ones are read as null where the table lacks them
 * @param order SQL
 * @throws Error what is wrong with the table
 */
export async function readToolRows<Row extends object>(
  client: SqlClient,
  target: ToolTable,
  columns: readonly string[],
  order: string,
  optional: readonly string[] = [],
): Promise<Row[] | undefined> {
  const found = await describeRelation(client, target)
  if (found === undefined) return undefined
  if (!found.isPlain) throw new Error('it is no plain table: it has policies, rules or triggers, or is a view')
  const missing = columns.filter((column) => !found.columns.includes(column))
  if (missing.length > 0) throw new Error(`it has no column ${missing.join(', ')}`)
  const list = [...columns, ...optional].map((column) => {
    const name = quoteIdentifier(column)
    return found.columns.includes(column) ? `${name}::pg_catalog.text` : `null::pg_catalog.text as ${name}`
  })
  const { rows } = await client.query<Row>(
    `select ${list.join(', ')} from only ${quoteTable(target)} order by ${order} limit ${maxRows}`,
  )
  return rows
}

interface Relation {
  readonly isPlain: boolean
  /** Those of PostgreSQL's own types. */
  readonly columns: readonly string[]
}

async function describeRelation(client: SqlClient, { schema, table }: ToolTable): Promise<Relation | undefined> {
  const { rows } = await client.query<Relation>(
    `select c.relkind = 'r' and not c.relrowsecurity and not c.relhasrules and not exists (
         select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal) as "isPlain",
       array(select a.attname::pg_catalog.text from pg_catalog.pg_attribute a
               join pg_catalog.pg_type y on y.oid = a.atttypid
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                and y.typnamespace = 'pg_catalog'::pg_catalog.regnamespace) as columns
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname = $2`,
    [schema, table],
  )
  return rows[0]
}
