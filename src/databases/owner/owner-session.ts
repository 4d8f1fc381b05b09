import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { refuseUnless } from '../../postgres/outages/refusal.js'
import type { FileSession } from '../../postgres/files/sql-file-run.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { defaultPrivileges, type GroupRoles } from '../building/tenant-privileges.js'

// What the login can change of itself and of our own schema, and no file may: rows of the ledger, its members, which
// PostgreSQL 15 lets every role add for itself, and its settings.
const guarded = `(select pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.json_build_array(
    (select pg_catalog.json_agg(l order by l.version) from tenants2fast.schema_migrations l),
    (select pg_catalog.count(*) from pg_catalog.pg_auth_members where roleid = r.oid or member = r.oid),
    (select pg_catalog.json_agg(s order by s.setdatabase) from pg_catalog.pg_db_role_setting s where s.setrole = r.oid)
  )::pg_catalog.text, 'UTF8')), 'hex')
  from pg_catalog.pg_roles r where r.rolname = session_user)`

// Whoever changes a role holds this lock until the transaction ends.
const wroteRoles = `exists (select from pg_catalog.pg_locks
    where pid = pg_catalog.pg_backend_pid() and relation = 'pg_catalog.pg_authid'::pg_catalog.regclass
      and mode <> 'AccessShareLock')`

/** {@link FileSession} of an owner login. */
export interface OwnerSession extends FileSession {
  /** Whether a file may have changed the login itself: its password, which it cannot see. */
  readonly mayHaveChangedLogin: boolean
}

/**
 * Makes the hooks of one connection of a database's owner login. A file runs as the group of owners, which owns what it
 * makes. It can take on the login's own role again (RESET ROLE): what it makes then is given to the group, in the file's
 * transaction and before the ledger has its row. The default privileges are set in that transaction, too: a tenant cannot
 * drop them before the file has made its tables.
 */
export function createOwnerHooks(groups: GroupRoles): { readonly session: OwnerSession } {
  const owners = quoteIdentifier(groups.owners)
  let isUnderWay = false
  let hasChanged = false
  const session: OwnerSession = {
    get mayHaveChangedLogin() {
      return isUnderWay || hasChanged
    },
    begin({ inTransaction }) {
      isUnderWay = true
      hasChanged ||= !inTransaction
      const local = inTransaction ? 'local ' : ''
      return [
        // Bare names and operators must not find objects that others have made.
        `set ${local}search_path = pg_catalog`,
        `select ${guarded} as guarded`,
        'reset search_path',
        `set ${local}role ${owners}`,
        defaultPrivileges(groups),
      ]
    },
    tidy: ({ inTransaction }) =>
      `reset session authorization; reset role; set ${inTransaction ? 'local ' : ''}search_path = pg_catalog;
       reassign owned by session_user to ${owners}`,
    check: ({ guarded: before = '' }) =>
      `${refuseUnless(`${guarded} = ${quoteLiteral(before)}`, changesLogin)};
       select (${wroteRoles})::pg_catalog.text as "wroteRoles"`,
    ended(facts) {
      isUnderWay = false
      hasChanged ||= facts['wroteRoles'] !== 'false'
    },
  }
  return { session }
}

const changesLogin = 'it changes the role that runs it, or the ledger of migrations: remove that statement'

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
