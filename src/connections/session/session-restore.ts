import type { SessionClient } from './session-client.js'

const cancelIntervalMs = 50

/**
 * Lets what runs come to an end, or stops it, and undoes what was done to the session.
 * False: the connection is not fit for another user, close it.
 *
 * @param isAbandoned nobody waits for what runs
 */
export async function restoreSession(client: SessionClient, isAbandoned: boolean): Promise<boolean> {
  const settled = isAbandoned ? await stop(client) : client.ready || (await client.settled())
  if (!settled || !client.usable) return false
  // A request to cancel that is still on its way would hit the next user.
  await client.cancelsDone()
  const dirty = isAbandoned || client.touched || !client.outsideTransaction
  return !dirty || client.reset()
}

/** Cancels until nothing runs: a request that is quicker than the query that it is to stop finds nothing to stop. */
async function stop(client: SessionClient): Promise<boolean> {
  client.endPortal()
  const requests = [client.cancel()]
  const again = setInterval(() => requests.push(client.cancel()), cancelIntervalMs)
  const settled = await client.settled()
  clearInterval(again)
  await Promise.all(requests)
  return settled
}
