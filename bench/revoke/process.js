// One of the processes of the revoke benchmark: asks every millisecond for the members it is told to watch, and says when
// each was denied for the first time. Times are of the monotonic clock, which processes of one machine share.
import { createTenancy } from 'tenants2fast'

const tenancy = await createTenancy()
const guard = tenancy.rules.guard({ kind: 'permission', name: 'notes:read' })
const watched = new Map()

async function isAllowed({ token, tenantId }) {
  const facts = { authorization: `Bearer ${token}`, tenantHeader: tenantId, needs: 'tenant' }
  try {
    return guard.allows((await tenancy.pipeline.handle(facts)).access)
  } catch (error) {
    if (error.statusCode === 403) return false
    throw error
  }
}

async function watch(member) {
  if (!(await isAllowed(member))) throw new Error('The member is not allowed to begin with')
  watched.set(member.number, member)
  process.send({ watching: member.number })
}

async function stop() {
  await tenancy.close()
  process.exit(0)
}

process.on('message', (message) => void (message === 'stop' ? stop() : watch(message)))
process.once('disconnect', () => process.exit(1))
process.send('ready')

for (;;) {
  await new Promise((resolve) => setTimeout(resolve, 1))
  for (const [number, member] of watched) {
    void isAllowed(member).then((allowed) => {
      if (allowed || !watched.delete(number)) return
      process.send({ denied: number, atMs: Number(process.hrtime.bigint() / 1000n) / 1000 })
    })
  }
}
