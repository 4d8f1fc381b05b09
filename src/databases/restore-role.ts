import { quoteIdentifier, quoteLiteral, type SqlClient } from '../core/sql.js'
import { isVerifierOf, scramVerifier } from './role-password.js'

/** What a login role can change of itself, against our will: PostgreSQL has no privilege to take away. */
export type RoleChange = 'password' | 'settings'

interface RoleRow {
  readonly verifier: string | null
  /** Databases that the role has settings for; an empty name: for all. */
  readonly configured: readonly string[]
}

/**
 * Makes a tenant's login role what the builder made it: its password (`ALTER ROLE … PASSWORD`), and no settings for future
 * connections (`ALTER ROLE … SET`).
 *
 * @returns what was changed; empty when nothing was
 */
export async function restoreRole(admin: SqlClient, name: string, password: string): Promise<readonly RoleChange[]> {
  const { rows } = await admin.query<RoleRow>(
    `select r.rolpassword as verifier,
       array(
         select coalesce(c.datname, '')::text from pg_db_role_setting s left join pg_database c on c.oid = s.setdatabase
          where s.setrole = r.oid
       ) as configured
     from pg_authid r where r.rolname = $1 and r.rolcanlogin`,
    [name],
  )
  const [role] = rows
  if (role === undefined) return []
  const identifier = quoteIdentifier(name)
  const changes: RoleChange[] = []
  const statements: string[] = []
  if (role.verifier === null || !isVerifierOf(role.verifier, password)) {
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
