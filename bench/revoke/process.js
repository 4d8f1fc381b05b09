// One of the processes of the revoke benchmark: asks every millisecond for the members it is told to watch, and says when
// each was denied for the first time. Times are of the monotonic clock, which processes of one machine share.
import { createTenancy } from 'tenants2fast'

const tenancy = await createTenancy()
const guard = tenancy.rules.guard({ kind: 'permission', name: 'notes:read' })
const watched = new Map()

/** Whether the member is allowed: at once while remembered, as a promise otherwise. */
function isAllowed({ facts }) {
  const context = tenancy.pipeline.handle(facts)
  return context instanceof Promise
    ? context.then(({ access }) => guard.allows(access), denied)
    : guard.allows(context.access)
}

function denied(error) {
  if (error.statusCode === 403) return false
  throw error
}

async function watch({ number, token, tenantId }) {
  const member = { facts: { authorization: `Bearer ${token}`, tenantHeader: tenantId, needs: 'tenant' } }
  if (!(await isAllowed(member))) throw new Error('The member is not allowed to begin with')
  watched.set(number, member)
  process.send({ watching: number })
}

async function stop() {
  await tenancy.close()
  process.exit(0)
}

process.on('message', (message) => void (message === 'stop' ? stop() : watch(message)))
process.once('disconnect', () => process.exit(1))
process.send('ready')

function deny(number) {
  if (watched.delete(number)) process.send({ denied: number, atMs: Number(process.hrtime.bigint() / 1000n) / 1000 })
}

for (;;) {
  await new Promise((resolve) => setTimeout(resolve, 1))
  for (const [number, member] of watched) {
    const allowed = isAllowed(member)
    if (allowed === false) deny(number)
    else if (allowed !== true && !member.isWaiting) {
      member.isWaiting = true
      void allowed.then((late) => {
        member.isWaiting = false
        if (!late) deny(number)
      })
    }
  }
}
