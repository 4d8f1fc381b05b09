import { setTimeout as sleep } from 'node:timers/promises'
import { tryLock, unlock } from '../../postgres/advisory-lock.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { holdersOf } from './lock-heartbeat.js'

/**
 * A connection of the provisioning account that holds the lock of one tenant database. All DDL of a build or a drop runs
 * on it: the lock is held as long as the server works on the database, even if the process is dead. Once the connection is
 * gone, a process that continues after a pause can change nothing any more.
 */
export interface LockedSession extends SqlClient {
  /** Releases the lock and the connection. */
  release(): Promise<void>
}

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
      // Its state is unknown: closing it releases the lock.
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

/** Ends the connections that hold the lock of a tenant database, and waits until the server has closed them. */
export async function breakLock(admin: SqlClient, key: string): Promise<void> {
  const { rows } = await admin.query<{ pid: number }>(holdersOf('$1::bigint'), [key])
  const pids = rows.map(({ pid }) => pid)
  for (const deadline = Date.now() + breakTimeoutMs; Date.now() < deadline; await sleep(50)) {
    // Only those: a session that takes the lock as soon as it is free is at work.
    const { rowCount } = await admin.query(
      `select pg_terminate_backend(pid) from (${holdersOf('$1::bigint')}) as others where pid = any ($2::integer[])`,
      [key, pids],
    )
    if (rowCount === 0) return
  }
}

const breakTimeoutMs = 5000
