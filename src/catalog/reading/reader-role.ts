import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { inTransaction } from '../transaction.js'
import { type CatalogColumn, isReadable } from './readable-columns.js'

/** The login role that reads the catalog for the application. */
export interface ReaderRole {
  readonly name: string
  /** SCRAM verifier of its password. */
  readonly verifier: string
  /** Name of the catalog database. */
  readonly database: string
  /** Key of the advisory lock under which it is made, decimal text of a `bigint`. */
  readonly lockKey: string
}

interface ColumnRow extends CatalogColumn {
  readonly may: boolean
  readonly mayWrite: boolean
}

const roleQuery = `
  select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
    or exists (select from pg_auth_members where member = pg_roles.oid) as "isPowerful"
  from pg_roles where rolname = $1`

const columnsQuery = `
  select class.relname::text as table, attname::text as column, atttypid = 'bytea'::regtype as "isBytes",
    has_column_privilege($1::name, class.oid, attnum, 'select') as may,
    has_table_privilege($1::name, class.oid, 'insert, update, delete, truncate, references, trigger')
      or has_column_privilege($1::name, class.oid, attnum, 'insert, update, references') as "mayWrite"
  from pg_attribute join pg_class as class on class.oid = attrelid
  where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f') and attnum > 0 and not attisdropped
  order by class.relname, attnum`

/** Everybody may make large objects, which are data in the catalog. REVOKE by an account that is no superuser only warns. */
const revokeWritingFunctions = `
  do $do$
  declare target regprocedure;
  begin
    for target in
      select oid from pg_proc where pronamespace = 'pg_catalog'::regnamespace
        and proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import') and has_function_privilege('public', oid, 'execute')
    loop
      execute format('revoke execute on function %s from public', target);
    end loop;
  exception when insufficient_privilege then null;
  end $do$`

/**
 * Makes the role, if it is missing, and gives it exactly what it may read. Safe when several processes do it at once, of another
 * release, too: what that one made readable is taken back or added with the next call.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: the role can do more, and the account cannot change that
 */
export async function ensureReaderRole(catalog: SqlPool, role: ReaderRole): Promise<void> {
  await inTransaction(catalog, async (client) => {
    await client.query('select pg_advisory_xact_lock($1::bigint)', [role.lockKey])
    const { rows } = await client.query<{ isPowerful: boolean }>(roleQuery, [role.name])
    const name = quoteIdentifier(role.name)
    if (rows[0] === undefined) {
      await client.query(`create role ${name} login noinherit password ${quoteLiteral(role.verifier)}`)
      await client.query(`grant connect on database ${quoteIdentifier(role.database)} to ${name}`)
      await client.query(`grant usage on schema public to ${name}`)
    }
    await client.query(revokeWritingFunctions)
    const problem = rows[0]?.isPowerful === true ? 'it has attributes or memberships of its own' : undefined
    if (problem !== undefined || (await correct(client, role.name))) throw tooPowerful(role.name, problem)
  })
}

/** Corrects the privileges. True: some are still others than they should be. */
async function correct(client: SqlClient, role: string): Promise<boolean> {
  const name = quoteIdentifier(role)
  const wrong = await wrongTables(client, role)
  for (const [table, readable] of wrong) {
    await client.query(`revoke all on table ${quoteIdentifier(table)} from ${name}`)
    if (readable.length === 0) continue
    const columns = readable.map((column) => quoteIdentifier(column)).join(', ')
    await client.query(`grant select (${columns}) on table ${quoteIdentifier(table)} to ${name}`)
  }
  return wrong.length > 0 && (await wrongTables(client, role)).length > 0
}

/** Tables of which the role may do more or less than it should, each with the columns that it may read. */
async function wrongTables(client: SqlClient, role: string): Promise<(readonly [string, readonly string[]])[]> {
  const { rows } = await client.query<ColumnRow>(columnsQuery, [role])
  const wrong = [...new Set(rows.filter((row) => row.mayWrite || row.may !== isReadable(row)).map((row) => row.table))]
  return wrong.map((table) => [
    table,
    rows.filter((row) => row.table === table && isReadable(row)).map(({ column }) => column),
  ])
}

function tooPowerful(name: string, problem = 'PUBLIC, or another role, gives it privileges on tables of the catalog') {
  return new TenancyError(
    'TENANCY_CONFIG_INVALID',
    `The role ${JSON.stringify(name)}, which reads the catalog for the application, can do more than it should: ${problem}`,
  )
}
