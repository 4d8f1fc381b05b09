import Fastify from 'fastify'
import { requirePermission, tenancyPlugin } from '../../src/adapters/fastify/index.js'
import { defineAccess } from '../../src/access/index.js'
import { createTenancy } from '../../src/tenancy.js'
import { silentLogger } from '../support/silent-logger.js'

// One process of the application: its routes answer 200 when the guard admits the request.

/** The message of the process to its parent. */
export interface ProcessReport {
  readonly address: string
}

const access = defineAccess({
  permissions: { 'writer0:read': '', 'writer1:read': '', 'writer2:read': '', 'writer3:read': '' },
  routes: {},
  roles: { Member: ['writer0:read', 'writer1:read', 'writer2:read', 'writer3:read'] },
})
const tenancy = await createTenancy({ access, logger: silentLogger })
const app = Fastify()
await app.register(tenancyPlugin, { tenancy })
for (const writer of [0, 1, 2, 3]) {
  app.get(`/writer${writer}`, { preHandler: requirePermission(`writer${writer}:read`) }, async () => ({}))
}
const address = await app.listen({ port: 0, host: '127.0.0.1' })
process.send?.({ address } satisfies ProcessReport)
process.once('message', () => void stop())
// Without its parent, nothing else would end this process.
const orphaned = () => process.exit(1)
process.once('disconnect', orphaned)
if (!process.connected) orphaned()

async function stop(): Promise<void> {
  await app.close()
  await tenancy.close()
  process.removeListener('disconnect', orphaned)
  process.disconnect()
}
