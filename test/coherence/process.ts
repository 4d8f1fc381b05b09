import Fastify from 'fastify'
import { requirePermission, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { defineAccess } from '../../src/access/index.js'
import { createTenancy } from '../../src/tenancy.js'
import { silentLogger } from '../support/silent-logger.js'

// One of the application's processes: routes that answer whether the guard let somebody through.

/** What the process tells its parent. */
export interface ProcessReport {
  readonly address: string
}

const access = defineAccess({
  permissions: { 'lane0:read': '', 'lane1:read': '', 'lane2:read': '', 'lane3:read': '' },
  routes: {},
  roles: { Member: ['lane0:read', 'lane1:read', 'lane2:read', 'lane3:read'] },
})
const tenancy = await createTenancy({ access, logger: silentLogger })
const app = Fastify()
await app.register(tenancyPlugin, { tenancy })
for (const lane of [0, 1, 2, 3]) {
  app.get(`/lane${lane}`, { preHandler: requirePermission(`lane${lane}:read`) }, async () => ({}))
}
const address = await app.listen({ port: 0, host: '127.0.0.1' })
process.send?.({ address } satisfies ProcessReport)
process.once('message', () => void stop())
// Whoever started this process is gone: nobody else would end it.
const orphaned = () => process.exit(1)
process.once('disconnect', orphaned)
if (!process.connected) orphaned()

async function stop(): Promise<void> {
  await app.close()
  await tenancy.close()
  process.removeListener('disconnect', orphaned)
  process.disconnect()
}
