import { setTimeout as sleep } from 'node:timers/promises'
import type { SqlClient, SqlPool } from '../core/sql.js'

/**
 * A connection of the provisioning account that holds the lock of one tenant database. All DDL of a build or a drop runs
 * on it: as long as the server works on the database, the lock is held, whether the process behind it lives or not; and
 * once the connection is gone, a process that comes back to life finds that it can do nothing any more.
 */
export interface LockedSession extends SqlClient {
  /** Gives lock and connection back. */
  release(): Promise<void>
}

// By name, so that it cannot meet another advisory lock by chance.
const key = "hashtextextended('tenants2fast database ' || $1::text, 0)"
// Advisory locks are per database, and another process may connect to another one: the view shows them all.
const holders = `
  select pid from pg_locks
   where locktype = 'advisory' and objsubid = 1 and granted and pid <> pg_backend_pid()
     and ((classid::bigint << 32) | objid::bigint) = ${key}`
// The view is read after the lock is had: of two that try at once, at least one sees the other.
const tryLock = `
  with mine as materialized (select pg_try_advisory_lock(${key}) as "isLocked")
  select "isLocked", exists(select from (${holders}) as others where "isLocked") as "isHeld" from mine`

/** Takes the lock of a tenant database; undefined: somebody else holds it. */
export async function lockDatabase(admin: SqlPool, id: string): Promise<LockedSession | undefined> {
  const client = await admin.connect()
  const release = async () => {
    try {
      await client.query(`select pg_advisory_unlock(${key})`, [id])
      client.release()
    } catch {
      // Whatever state it is in: its end gives the lock back.
      client.release(true)
    }
  }
  try {
    const { rows } = await client.query<{ isLocked: boolean; isHeld: boolean }>(tryLock, [id])
    const [answer] = rows
    if (answer?.isLocked === true && !answer.isHeld)
      return { query: (text, values) => client.query(text, values), release }
    if (answer?.isLocked === true) await release()
    else client.release()
    return undefined
  } catch (error) {
    client.release(true)
    throw error
  }
}

/** Ends the connections that hold the lock of a tenant database, and waits until the server has let go of them. */
export async function breakLock(admin: SqlClient, id: string): Promise<void> {
  for (const deadline = Date.now() + breakTimeoutMs; Date.now() < deadline; await sleep(50)) {
    const { rowCount } = await admin.query(`select pg_terminate_backend(pid) from (${holders}) as others`, [id])
    if (rowCount === 0) return
  }
}

const breakTimeoutMs = 5000
