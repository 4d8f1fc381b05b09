// One of the processes of the revoke benchmark. It remembers every member before the first revocation. Then it asks for each
// from the moment on at which the revocation is due, every other millisecond, until the member is denied.
import { createTenancy } from 'tenants2fast'
import { percentiles } from '../fleet/load.js'
import { serveParent } from '../serve-parent.js'
import { cpuMsSince, monotonicMs } from './clock.js'

/** How often it asks, in milliseconds: what is measured is later by half of it on average. */
const everyMs = 2
const filledAtATime = 50

const tenancy = await createTenancy()
const guard = tenancy.rules.guard({ kind: 'permission', name: 'notes:read' })
let members = []
let failures = 0

/** Whether the member is allowed: at once while remembered, as a promise otherwise. */
function isAllowed({ authorization, tenantId }) {
  const context = tenancy.pipeline.handle({ authorization, tenantHeader: tenantId, needs: 'tenant' })
  return context instanceof Promise
    ? context.then(({ access }) => guard.allows(access), denied)
    : guard.allows(context.access)
}

function denied(error) {
  if (error.statusCode === 403) return false
  // No answer: it is asked for again, and the delay grows.
  failures += 1
  return true
}

async function remember(told) {
  members = told.map(({ token, tenantId }) => ({ authorization: `Bearer ${token}`, tenantId }))
  for (let first = 0; first < members.length; first += filledAtATime) {
    const allowed = await Promise.all(members.slice(first, first + filledAtATime).map(isAllowed))
    if (allowed.includes(false)) throw new Error('A member is not allowed to begin with')
  }
  return 'remembered'
}

/** Asks until all are denied; members are revoked in their order, so many a second, from a moment on. */
function ask({ fromMs, perSecond }) {
  const atMs = members.map(() => undefined)
  const waiting = new Set()
  const asked = new Set()
  let next = 0
  const deny = (index) => {
    atMs[index] = monotonicMs()
    asked.delete(index)
  }
  const askFor = (index) => {
    const allowed = isAllowed(members[index])
    if (allowed === false) deny(index)
    else if (allowed !== true && !waiting.has(index)) {
      waiting.add(index)
      void allowed.then((late) => {
        waiting.delete(index)
        if (!late) deny(index)
      })
    }
  }
  const dueMs = (index) => fromMs + ((index + 1) * 1000) / perSecond
  const lateMs = []
  let asks = 0
  const before = process.cpuUsage()
  return new Promise((resolve) => {
    const turnAfter = (ms) => {
      const plannedMs = monotonicMs() + ms
      setTimeout(turn, ms, plannedMs)
    }
    const turn = (plannedMs) => {
      const nowMs = monotonicMs()
      lateMs.push(nowMs - plannedMs)
      while (next < members.length && dueMs(next) <= nowMs) asked.add(next++)
      asks += asked.size
      for (const index of asked) askFor(index)
      if (asked.size > 0) turnAfter(everyMs)
      else if (next < members.length) turnAfter(Math.max(everyMs, Math.ceil(dueMs(next) - monotonicMs())))
      else resolve({ atMs, cpuMs: cpuMsSince(before), lateMs: percentiles(lateMs).p99, asks, failures })
    }
    turnAfter(everyMs)
  })
}

serveParent(tenancy, (message) => (Array.isArray(message) ? remember(message) : ask(message)))
