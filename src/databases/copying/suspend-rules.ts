import type { Client } from 'pg'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { dropIndexes } from './drop-indexes.js'
import { isApplicationSchema, isExtensionMember, quoteRelation, type Relations } from './relations.js'

interface ForeignKey {
  readonly table: string
  readonly name: string
  readonly definition: string
  readonly comment: string | null
}

interface Trigger {
  readonly table: string
  readonly name: string
  readonly enabled: 'O' | 'A' | 'R'
}

/**
 * Turns off what would get in the way of rows in any order, and what costs more for each row than for all of them. Returns the
 * statements that turn it on again, in their order.
 *
 * @param client in a transaction, with `search_path = pg_catalog`
 */
export async function suspendRules(client: Client, { tables }: Relations): Promise<string[]> {
  const { rows: foreignKeys } = await client.query<ForeignKey>(
    `select pg_catalog.format('%I.%I', n.nspname, r.relname) as "table", conname as name,
       pg_catalog.pg_get_constraintdef(c.oid) as definition, pg_catalog.obj_description(c.oid, 'pg_constraint') as comment
     from pg_catalog.pg_constraint c join pg_catalog.pg_class r on r.oid = c.conrelid
       join pg_catalog.pg_namespace n on n.oid = r.relnamespace
     where c.contype = 'f' and c.conparentid = 0 and ${isApplicationSchema('n.nspname')} and not ${isExtensionMember('r.oid')}
     order by c.oid`,
  )
  const { rows: triggers } = await client.query<Trigger>(
    `select pg_catalog.format('%I.%I', n.nspname, r.relname) as "table", tgname as name, tgenabled::pg_catalog.text as enabled
     from pg_catalog.pg_trigger t join pg_catalog.pg_class r on r.oid = t.tgrelid
       join pg_catalog.pg_namespace n on n.oid = r.relnamespace
     where not t.tgisinternal and t.tgenabled <> 'D' and r.relkind = 'r' and ${isApplicationSchema('n.nspname')}
       and not ${isExtensionMember('r.oid')}
     order by t.oid`,
  )
  const forced = tables.filter(({ isForced }) => isForced).map(quoteRelation)
  const alter = (table: string, action: string) => client.query(`alter table ${table} ${action}`)
  for (const { table, name } of foreignKeys) await alter(table, `drop constraint ${quoteIdentifier(name)}`)
  for (const { table, name } of triggers) await alter(table, `disable trigger ${quoteIdentifier(name)}`)
  for (const table of forced) await alter(table, 'no force row level security')
  // After the foreign keys, which need them.
  const indexes = await dropIndexes(client)

  const enable = { O: 'enable', A: 'enable always', R: 'enable replica' } as const
  return [
    ...forced.map((table) => `alter table ${table} force row level security`),
    ...indexes,
    ...foreignKeys.flatMap(({ table, name, definition, comment }) => [
      `alter table ${table} add constraint ${quoteIdentifier(name)} ${definition}`,
      ...(comment === null
        ? []
        : [`comment on constraint ${quoteIdentifier(name)} on ${table} is ${quoteLiteral(comment)}`]),
    ]),
    ...triggers.map(
      ({ table, name, enabled }) => `alter table ${table} ${enable[enabled]} trigger ${quoteIdentifier(name)}`,
    ),
  ]
}
