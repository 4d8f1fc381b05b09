import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { sqlStateOf, sqlStates } from '../../postgres/outages/sql-states.js'
import { withConnection } from './admin-connection.js'
import { isVerifierOf, scramVerifier } from './role-password.js'

/** What a login role can change of itself: PostgreSQL has no privilege for it that could be revoked. */
export type RoleChange = 'password' | 'settings'

interface RoleRow {
  /** Whether the account may read verifiers of passwords: only superusers may, unless it was granted. */
  readonly mayReadVerifier: boolean
  /** Databases that the role has settings for; an empty name: for all databases. */
  readonly configured: readonly string[]
}

/**
 * Restores what the builder gave to a tenant's login role: its password (`ALTER ROLE … PASSWORD`), and no settings for
 * future connections (`ALTER ROLE … SET`). An account that may not read the password's verifier tries to log in with it.
 *
 * @param account the role's account, with its password, in a database that it may connect to
 * @returns what had been changed; empty when nothing had
 */
export async function restoreRole(admin: SqlClient, account: ServerAccount): Promise<readonly RoleChange[]> {
  const { user: name, password } = account
  const { rows } = await admin.query<RoleRow>(
    `select has_table_privilege('pg_catalog.pg_authid', 'select') as "mayReadVerifier",
       array(
         select coalesce(c.datname, '')::text from pg_db_role_setting s left join pg_database c on c.oid = s.setdatabase
          where s.setrole = r.oid
       ) as configured
     from pg_roles r where r.rolname = $1 and r.rolcanlogin`,
    [name],
  )
  const [role] = rows
  if (role === undefined) return []
  const identifier = quoteIdentifier(name)
  const changes: RoleChange[] = []
  const statements: string[] = []
  if (!(await (role.mayReadVerifier ? hasVerifier(admin, name, password) : logsIn(account)))) {
    changes.push('password')
    statements.push(`alter role ${identifier} password ${quoteLiteral(scramVerifier(password))}`)
  }
  if (role.configured.length > 0) changes.push('settings')
  for (const database of role.configured) {
    const where = database === '' ? '' : `in database ${quoteIdentifier(database)} `
    statements.push(`alter role ${identifier} ${where}reset all`)
  }
  if (statements.length > 0) await admin.query(statements.join('; '))
  return changes
}

async function hasVerifier(admin: SqlClient, name: string, password: string): Promise<boolean> {
  const { rows } = await admin.query<{ verifier: string | null }>(
    'select rolpassword as verifier from pg_authid where rolname = $1',
    [name],
  )
  const verifier = rows[0]?.verifier ?? null
  return verifier !== null && isVerifierOf(verifier, password)
}

/**
 * False when the password is refused, or when the server asks for another proof than our verifiers do, as after `PASSWORD`
 * with more iterations. An error that comes after the password was accepted says nothing about the password.
 */
async function logsIn(account: ServerAccount): Promise<boolean> {
  try {
    await withConnection(account, async () => {})
    return true
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('SASL')) return false
    const state = sqlStateOf(error)
    if (state === undefined) throw error
    return state !== sqlStates.invalidPassword
  }
}
