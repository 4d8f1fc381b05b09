import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier } from '../../postgres/quote.js'
import { hasSqlState, sqlStates } from '../../postgres/sql-states.js'
import { defaultPrivileges, type GroupRoles } from '../building/tenant-privileges.js'

/** What runs around each file of the application, on a connection of the database's owner login. */
export interface OwnerHooks {
  prepare(client: SqlClient, where: { readonly inTransaction: boolean }): Promise<void>
  /** @throws Error when the file has changed what it must not; in a transaction, it is then rolled back */
  finish(client: SqlClient, where: { readonly inTransaction: boolean }): Promise<void>
}

// What the login can change of itself and of our own schema, and no file may: rows of the ledger, its members, which
// PostgreSQL 15 lets every role add for itself, and its settings.
const guarded = `select pg_catalog.json_build_array(
    (select pg_catalog.count(*) from tenants2fast.schema_migrations),
    (select pg_catalog.count(*) from pg_catalog.pg_auth_members where roleid = r.oid or member = r.oid),
    (select pg_catalog.json_agg(s order by s.setdatabase) from pg_catalog.pg_db_role_setting s where s.setrole = r.oid)
  )::pg_catalog.text as state
  from pg_catalog.pg_roles r where r.rolname = session_user`

/**
 * Makes the hooks of one connection. A file runs as the group of owners, which owns what it makes. It can take on the login's
 * own role again (RESET ROLE): what it makes then is given to the group, in the file's transaction and before the ledger has
 * its row. The default privileges are set in that transaction, too: a tenant cannot drop them before the file has made its
 * tables.
 */
export function createOwnerHooks(groups: GroupRoles): OwnerHooks {
  const owners = quoteIdentifier(groups.owners)
  let before = ''
  // One message: bare names and operators must not find objects that others have made.
  const ask = async (client: SqlClient, ...statements: string[]): Promise<string> => {
    const results = (await client.query(statements.join(';\n'))) as unknown as { rows: { state?: string }[] }[]
    const state = results.flatMap(({ rows }) => rows).find((row) => row.state !== undefined)?.state
    if (state === undefined) throw new Error('the role of this session is gone')
    return state
  }
  return {
    async prepare(client, { inTransaction }) {
      const local = inTransaction ? 'local ' : ''
      before = await ask(
        client,
        `set ${local}search_path = pg_catalog`,
        guarded,
        'reset search_path',
        `set ${local}role ${owners}`,
        defaultPrivileges(groups),
      )
    },
    async finish(client, { inTransaction }) {
      const after = await ask(
        client,
        'reset session authorization',
        'reset role',
        `set ${inTransaction ? 'local ' : ''}search_path = pg_catalog`,
        `reassign owned by session_user to ${owners}`,
        guarded,
      )
      if (after !== before) {
        throw new Error('it changes the role that runs it, or the ledger of migrations: remove that statement')
      }
    },
  }
}

/** Adds the way out to the error of a file that lacks a right: files do not run as the administrator. */
export function explainRights(error: unknown): unknown {
  const failure = findTenancyError(error, 'TENANCY_DATABASE_SCHEMA_FAILED')
  if (failure === undefined || !hasSqlState(failure.cause, sqlStates.insufficientPrivilege)) return error
  return new TenancyError(
    'TENANCY_DATABASE_SCHEMA_FAILED',
    `${failure.message}: schema files run as the owner of the application's objects, not as the administrator. List an ` +
      'extension in TENANT_EXTENSIONS, set a setting of the database by tenants2fast.set_database_setting(name, value), ' +
      'and do what else needs an administrator as one, once (docs/migrations.md)',
    { cause: failure.cause },
  )
}
