import { randomUUID } from 'node:crypto'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { quoteIdentifier } from '../../postgres/quote.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import { sqlStateOf } from '../server/admin-connection.js'
import { joinRole } from '../server/admin-rights.js'
import { keepLease, leaseMs } from '../server/database-lease.js'
import { lockDatabase } from '../server/database-lock.js'
import { type DatabaseNames, isNamedAfterId } from '../database-names.js'
import { databaseLockKey, type LockOwner } from '../server/lock-keys.js'

/** What a drop needs. */
export interface DropOptions extends LockOwner {
  readonly records: TenantDatabaseRecords
  /** Connections of the provisioning account to the catalog database, where locks are held. */
  readonly admin: SqlPool
  readonly names: DatabaseNames
}

/**
 * What came of a drop. `busy`: somebody else works on the database. `kept`: it is in use, within its retention, or gone
 * already.
 */
export type DropOutcome =
  | { readonly kind: 'dropped'; readonly tenantId: string | null }
  | { readonly kind: 'busy' }
  | { readonly kind: 'kept' }

/**
 * Drops a database that nobody may use: a dead build, one that was half dropped, or one past its retention. The row
 * says so first and goes last, when database and role are gone, so that whoever dies in between is continued.
 */
export async function dropTenantDatabase(options: DropOptions, id: string): Promise<DropOutcome> {
  const { records, admin, names } = options
  const session = await lockDatabase(admin, databaseLockKey(options, id))
  // Who builds holds the lock: that it could be had proves that the build is dead, however long its lease still runs.
  if (!session) return { kind: 'busy' }
  const lease = randomUUID()
  const stopRenewing = keepLease(records, id, lease)
  try {
    const database = await records.beginDrop(id, lease, leaseMs)
    if (!database) return { kind: 'kept' }
    if (!isNamedAfterId(names, database)) throw new Error(`${database.name} is not a name of this installation`)
    await dropRoleAndDatabase(session, database.name)
    const removed = await records.finishDrop(id, lease)
    // Somebody else was faster, and removes the row.
    return removed ? { kind: 'dropped', tenantId: removed.tenantId } : { kind: 'busy' }
  } finally {
    stopRenewing()
    await session.release()
  }
}

/** Drops database and login role of that name, and looks that both are gone. */
async function dropRoleAndDatabase(session: SqlClient, name: string): Promise<void> {
  const identifier = quoteIdentifier(name)
  // Finishes a half-dropped one too (datconnlimit = -2: PostgreSQL manual, DROP DATABASE; release notes of 15.4).
  const drop = () => session.query(`drop database if exists ${identifier} with (force)`)
  await drop().catch(async (error: unknown) => {
    // The account may not end the sessions of the role, or not any more: on PostgreSQL 15 a role can end its own memberships.
    if (sqlStateOf(error) !== '42501') throw error
    await joinRole(session, name)
    await drop()
  })
  await session.query(`drop role if exists ${identifier}`)
  const { rowCount } = await session.query(
    'select from pg_database where datname = $1 union all select from pg_roles where rolname = $1',
    [name],
  )
  if (rowCount !== 0) throw new Error(`${name} is still there after it was dropped`)
}
