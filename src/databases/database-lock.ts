import { setTimeout as sleep } from 'node:timers/promises'
import { tryLock, unlock, waitForLock } from '../core/advisory-lock.js'
import type { ServerAccount } from '../core/database-target.js'
import type { SqlClient, SqlPool } from '../core/sql.js'
import { withConnection } from './admin-connection.js'

/**
 * A connection of the provisioning account that holds the lock of one tenant database. All DDL of a build or a drop runs
 * on it: as long as the server works on the database, the lock is held, whether the process behind it lives or not; and
 * once the connection is gone, a process that comes back to life finds that it can do nothing any more.
 */
export interface LockedSession extends SqlClient {
  /** Gives lock and connection back. */
  release(): Promise<void>
}

/**
 * Sessions that hold a lock in this database, which is the catalog: no tenant can connect to it. Advisory locks are per
 * database, and `pg_locks` shows those of all: one that a tenant takes in its own database is not this lock.
 */
export const holdersOf = (key: string): string => `
  select l.pid from pg_locks l
   where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.pid <> pg_backend_pid()
     and l.database = (select oid from pg_database where datname = current_database())
     and ((l.classid::bigint << 32) | l.objid::bigint) = ${key}`

/**
 * Takes the lock of a tenant database; undefined: another session holds it.
 *
 * @param admin connections of the provisioning account to the catalog database
 */
export async function lockDatabase(admin: SqlPool, key: string): Promise<LockedSession | undefined> {
  const client = await admin.connect()
  const release = async () => {
    try {
      await unlock(client, key)
      client.release()
    } catch {
      // Whatever state it is in: its end gives the lock back.
      client.release(true)
    }
  }
  try {
    if (await tryLock(client, key)) return { query: (text, values) => client.query(text, values), release }
    client.release()
    return undefined
  } catch (error) {
    client.release(true)
    throw error
  }
}

/**
 * Runs `work` under the lock of a tenant database, on a connection of its own to the catalog.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_LOCK_TIMEOUT
 */
export async function withDatabaseLock<Result>(
  catalog: ServerAccount,
  lock: { readonly key: string; readonly timeoutMs: number; readonly what: string },
  work: () => Promise<Result>,
): Promise<Result> {
  return withConnection(catalog, async (client) => {
    await waitForLock(client, lock)
    return work()
  })
}

/** Ends the connections that hold the lock of a tenant database, and waits until the server has let go of them. */
export async function breakLock(admin: SqlClient, key: string): Promise<void> {
  for (const deadline = Date.now() + breakTimeoutMs; Date.now() < deadline; await sleep(50)) {
    const { rowCount } = await admin.query(
      `select pg_terminate_backend(pid) from (${holdersOf('$1::bigint')}) as others`,
      [key],
    )
    if (rowCount === 0) return
  }
}

const breakTimeoutMs = 5000
