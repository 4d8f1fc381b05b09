// The floor of the revoke benchmark: a bare connection that listens to the same notifications, and does nothing with them but
// take the time.
import pg from 'pg'
import { serveParent } from '../serve-parent.js'
import { cpuMsSince, monotonicMs } from './clock.js'

const client = new pg.Client({ connectionString: process.env.T2F_BENCH_CATALOG_URL })
await client.connect()
const heardAtMs = new Map()
let heardAll = () => {}
client.on('notification', ({ payload }) => {
  const [kind, userId] = payload.split(':')
  if (kind !== 'u') return
  heardAtMs.set(userId, monotonicMs())
  heardAll()
})
await client.query('listen tenants2fast_epochs')

/** When each of these users was heard of, in the order of the list. */
async function hear({ members }) {
  const before = process.cpuUsage()
  await new Promise((resolve) => {
    heardAll = () => {
      if (heardAtMs.size === members.length) resolve()
    }
    heardAll()
  })
  return { atMs: members.map(({ userId }) => heardAtMs.get(userId)), cpuMs: cpuMsSince(before) }
}

serveParent({ close: () => client.end() }, hear)
