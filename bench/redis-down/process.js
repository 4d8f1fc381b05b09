// The process of the redis-down benchmark: asks at a steady rate, whatever the answers take, each time for a member that it
// has not seen and for one that it remembers, and says how long each took and how many failed.
import { setTimeout as sleep } from 'node:timers/promises'
import { createTenancy } from 'tenants2fast'
import { serveParent } from '../serve-parent.js'

const tenancy = await createTenancy()

async function ask({ members, perSecond }) {
  const [remembered] = members
  const tookMs = { cold: [], warm: [] }
  let errors = 0
  const time = async (kind, { token, tenantId }) => {
    const startedAtMs = performance.now()
    try {
      await tenancy.pipeline.handle({ authorization: `Bearer ${token}`, tenantHeader: tenantId, needs: 'tenant' })
    } catch {
      errors += 1
    }
    tookMs[kind].push(performance.now() - startedAtMs)
  }
  await tenancy.pipeline.handle({
    authorization: `Bearer ${remembered.token}`,
    tenantHeader: remembered.tenantId,
    needs: 'tenant',
  })
  const fromMs = performance.now()
  const asked = []
  for (const [index, member] of members.slice(1).entries()) {
    await sleep(Math.max(0, fromMs + (index * 1000) / perSecond - performance.now()))
    asked.push(time('cold', member), time('warm', remembered))
  }
  await Promise.all(asked)
  return { ...tookMs, errors }
}

serveParent(tenancy, ask)
