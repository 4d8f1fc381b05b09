import type { SessionClient } from './client/session-client.js'

const cancelIntervalMs = 50

/**
 * Waits for the query that runs, or stops it, and undoes what was done to the session.
 * False: the connection is not fit for another user, close it.
 *
 * @param isAborted nobody waits for the result of what runs: it is stopped
 */
export async function restoreSession(client: SessionClient, isAborted: boolean): Promise<boolean> {
  const settled = isAborted ? await stop(client) : client.ready || (await client.settled())
  if (!settled || !client.usable) return false
  // A request to cancel that is still on its way would hit the next user.
  await client.cancelsDone()
  const dirty = isAborted || client.touched || !client.outsideTransaction
  return !dirty || client.reset()
}

/** Cancels until nothing runs: a request that arrives before the query that it is to stop finds nothing to stop. */
async function stop(client: SessionClient): Promise<boolean> {
  client.endPortal()
  const requests = [client.cancel()]
  const again = setInterval(() => requests.push(client.cancel()), cancelIntervalMs)
  const settled = await client.settled()
  clearInterval(again)
  await Promise.all(requests)
  return settled
}

/**
 * Brings a session back to what it was when it was opened, and keeps the prepared statements that `pg` made (`DISCARD
 * ALL` would drop them without `pg` knowing). Its last statement counts the prepared statements: those of SQL PREPARE
 * and those of the protocol. If there is one that `pg` does not know, or one is missing, the session is to be closed.
 * Send ROLLBACK first when a transaction is open.
 *
 * @param seed for `random()`, which would go on from where SETSEED put it; from -1 to 1
 */
export function resetSession(seed: number): string {
  return (
    'set session authorization default; reset all; close all; unlisten *; discard temp; discard sequences; ' +
    `${reseed(seed)}; select pg_catalog.pg_advisory_unlock_all(); ` +
    'select pg_catalog.count(*) filter (where from_sql)::pg_catalog.int4 as by_sql, ' +
    'pg_catalog.count(*) filter (where not from_sql)::pg_catalog.int4 as by_protocol from pg_catalog.pg_prepared_statements'
  )
}

/** Makes the next values of `random()` independent of the last user: RESET ALL does not. `seed`: from -1 to 1. */
export function reseed(seed: number): string {
  return `set seed to ${seed}`
}
