import { randomUUID } from 'node:crypto'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { joinRole } from '../server/admin-rights.js'
import { keepLease, leaseMs } from '../server/database-lease.js'
import { lockDatabase } from '../server/database-lock.js'
import { type DatabaseNames, isNamedAfterId } from '../database-names.js'
import { databaseLockKey, type LockOwner } from '../server/lock-keys.js'

/** What {@link dropTenantDatabase} needs. */
export interface DropOptions extends LockOwner {
  readonly records: TenantDatabaseRecords
  /** Connections of the provisioning account to the catalog database, where locks are held. */
  readonly admin: SqlPool
  readonly names: DatabaseNames
}

/**
 * Outcome of a drop. `busy`: another process works on the database. `kept`: it is in use, within its retention, or already
 * gone.
 */
export type DropOutcome =
  | { readonly kind: 'dropped'; readonly tenantId: string | null }
  | { readonly kind: 'busy' }
  | { readonly kind: 'kept' }

/**
 * Drops a database that nobody may use: the build of a dead process, a half-dropped database, or one past its retention.
 * The row is marked first and removed last, after database and roles are gone: if the process dies in between, another one
 * continues.
 */
export async function dropTenantDatabase(options: DropOptions, id: string): Promise<DropOutcome> {
  const { records, admin, names } = options
  const session = await lockDatabase(admin, databaseLockKey(options, id))
  // A builder holds the lock: a free lock proves that the builder is dead, even while its lease still runs.
  if (!session) return { kind: 'busy' }
  const lease = randomUUID()
  const stopRenewing = keepLease(records, id, lease)
  try {
    const database = await records.beginDrop(id, lease, leaseMs)
    if (!database) return { kind: 'kept' }
    if (!isNamedAfterId(names, database)) throw new Error(`${database.name} is not a name of this installation`)
    await dropRolesAndDatabase(session, database.name, names.ownerLogin(database.name))
    const removed = await records.finishDrop(id, lease)
    // The lease was lost: another process drops the database and removes the row.
    return removed ? { kind: 'dropped', tenantId: removed.tenantId } : { kind: 'busy' }
  } finally {
    stopRenewing()
    await session.release()
  }
}

/** Drops the database, the login role of that name and its owner login, and verifies that they are gone. */
async function dropRolesAndDatabase(session: SqlClient, name: string, ownerLogin: string): Promise<void> {
  const identifier = quoteIdentifier(name)
  // Also finishes a half-dropped one (datconnlimit = -2: PostgreSQL manual, DROP DATABASE; release notes of 15.4).
  const drop = () => session.query(`drop database if exists ${identifier} with (force)`)
  await drop().catch(async (error: unknown) => {
    // The account may not end the sessions of the role, or no longer: on PostgreSQL 15 a role can revoke memberships in itself.
    if (!hasSqlState(error, sqlStates.insufficientPrivilege)) throw error
    for (const role of await rolesNamed(session, [name, ownerLogin])) await joinRole(session, role)
    await drop()
  })
  await session.query(`drop role if exists ${identifier}, ${quoteIdentifier(ownerLogin)}`)
  const { rowCount } = await session.query(
    'select from pg_database where datname = $1 union all select from pg_roles where rolname = any ($2)',
    [name, [name, ownerLogin]],
  )
  if (rowCount !== 0) throw new Error(`${name} is still there after it was dropped`)
}

async function rolesNamed(session: SqlClient, names: readonly string[]): Promise<string[]> {
  const { rows } = await session.query<{ name: string }>(
    'select rolname as name from pg_roles where rolname = any ($1)',
    [names],
  )
  return rows.map(({ name }) => name)
}
