import { AsyncLocalStorage } from 'node:async_hooks'
import pg from 'pg'

// Counted where `pg` sends: statements (BEGIN and COMMIT are some), and the messages that wait for an answer. Only in the
// asynchronous context of the call, and until it has been answered: nothing else in the process counts.
const storage = new AsyncLocalStorage()
const kinds = { execute: ['queries'], query: ['queries', 'trips'], sync: ['trips'], startup: ['trips'] }

for (const [name, counted] of Object.entries(kinds)) {
  const send = pg.Connection.prototype[name]
  pg.Connection.prototype[name] = function (...given) {
    const counts = storage.getStore()
    if (counts !== undefined) for (const kind of counted) counts[kind] += 1
    return send.apply(this, given)
  }
}

/** Runs a call, and says how long it took and what it asked of PostgreSQL. */
export async function counting(call) {
  const counts = { queries: 0, trips: 0 }
  const started = performance.now()
  await storage.run(counts, call)
  return { ms: performance.now() - started, ...counts }
}
