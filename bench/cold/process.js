// A process of the cold benchmark, freshly started: asks once for each member it is sent, so many at a time, and says how
// long each took and how many queries of the catalog they cost together.
import pg from 'pg'
import { createTenancy } from 'tenants2fast'
import { serveParent } from '../serve-parent.js'

let queries = 0
const { query } = pg.Client.prototype
pg.Client.prototype.query = function count(...args) {
  const text = typeof args[0] === 'string' ? args[0] : args[0]?.text
  // Heartbeats come with time, not with requests.
  if (!text?.includes('pg_notify')) queries += 1
  return query.apply(this, args)
}

const tenancy = await createTenancy()

async function ask({ members, concurrency }) {
  const before = queries
  const tookMs = []
  const waiting = members.values()
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (const { token, tenantId } of waiting) {
        const startedAtMs = performance.now()
        await tenancy.pipeline.handle({ authorization: `Bearer ${token}`, tenantHeader: tenantId, needs: 'tenant' })
        tookMs.push(performance.now() - startedAtMs)
      }
    }),
  )
  return { tookMs, queries: queries - before }
}

serveParent(tenancy, ask)
