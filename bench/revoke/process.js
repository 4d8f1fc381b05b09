// One of the processes of the revoke benchmark. It remembers every member before the first revocation, then asks every
// millisecond for those who are about to be revoked or were, until each is denied. Times are of the monotonic clock, which
// processes of one machine share.
import { setTimeout as sleep } from 'node:timers/promises'
import { createTenancy } from 'tenants2fast'
import { percentiles } from '../fleet/load.js'
import { serveParent } from '../serve-parent.js'

/** How long before its revocation is due a member begins to be asked for. */
const leadMs = 20
const filledAtATime = 50

const tenancy = await createTenancy()
const guard = tenancy.rules.guard({ kind: 'permission', name: 'notes:read' })
let members = []

/** Whether the member is allowed: at once while remembered, as a promise otherwise. */
function isAllowed({ token, tenantId }) {
  const context = tenancy.pipeline.handle({ authorization: `Bearer ${token}`, tenantHeader: tenantId, needs: 'tenant' })
  return context instanceof Promise
    ? context.then(({ access }) => guard.allows(access), denied)
    : guard.allows(context.access)
}

function denied(error) {
  if (error.statusCode === 403) return false
  throw error
}

async function remember(told) {
  members = told
  for (let first = 0; first < members.length; first += filledAtATime) {
    const allowed = await Promise.all(members.slice(first, first + filledAtATime).map(isAllowed))
    if (allowed.includes(false)) throw new Error('A member is not allowed to begin with')
  }
  return 'remembered'
}

/** Asks until all are denied; members are revoked in their order, so many a second, from a moment on. */
async function ask({ fromMs, perSecond }) {
  const deniedAtMs = members.map(() => undefined)
  const waiting = new Set()
  const asked = new Set()
  let next = 0
  const deny = (index) => {
    deniedAtMs[index] = monotonicMs()
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
  const gapsMs = []
  let askedAtMs = monotonicMs()
  const before = process.cpuUsage()
  while (next < members.length || asked.size > 0) {
    await sleep(1)
    const nowMs = monotonicMs()
    gapsMs.push(nowMs - askedAtMs)
    askedAtMs = nowMs
    while (next < members.length && fromMs + ((next + 1) * 1000) / perSecond - leadMs <= nowMs) asked.add(next++)
    for (const index of asked) askFor(index)
  }
  const { user, system } = process.cpuUsage(before)
  return { deniedAtMs, gapMs: percentiles(gapsMs).p99, cpuMs: (user + system) / 1000 }
}

const monotonicMs = () => Number(process.hrtime.bigint() / 1000n) / 1000

serveParent(tenancy, (message) => (Array.isArray(message) ? remember(message) : ask(message)))
