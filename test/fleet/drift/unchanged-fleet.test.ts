import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFleetCatalog } from '../../../src/catalog/tenants/fleet-catalog.js'
import type { DatabaseInspection, InspectedDatabase } from '../../../src/core/fleet/fleet-check.js'
import { createFleetCheck } from '../../../src/fleet/drift/fleet-check.js'
import { createInstallation, type Installation } from '../../databases/fixture.js'

let installation: Installation
beforeAll(async () => {
  installation = await createInstallation()
})
afterAll(() => installation.drop())

test('Ten clones take one connection and one query each, and no more than were allowed at a time', async () => {
  await installation.writeSchema('0001_notes.sql', 'create table notes (id int primary key, body text)')
  const { databases, tenants } = installation.open()
  const owner = await installation.createUser()
  for (let n = 0; n < 10; n += 1) await tenants.createTenant({ name: 'Acme', slug: `acme-${n}`, owner })
  let queries = 0
  let connections = 0
  let open = 0
  let most = 0
  const counted = <One extends InspectedDatabase>(inspected: One): One => ({
    ...inspected,
    client: {
      query: (text: string, values?: unknown[]) => {
        queries += 1
        return inspected.client.query(text, values)
      },
    },
  })
  const inspection: DatabaseInspection = {
    inspectTemplate: (options, work) => databases.inspectTemplate(options, work),
    async inspect(database, options, work) {
      connections += 1
      open += 1
      most = Math.max(most, open)
      return databases.inspect(database, options, (one) => work(counted(one))).finally(() => (open -= 1))
    },
  }
  const check = createFleetCheck({
    catalog: createFleetCatalog(installation.catalog.pool),
    connections: { reserve: async () => () => {}, inSlot: (work) => work() },
    isClosing: () => false,
    databases: inspection,
  })
  expect(await check({ parallelism: 3 })).toMatchObject({ databases: 10, same: 10 })
  expect({ queries, connections, most }).toEqual({ queries: 10, connections: 10, most: 3 })
})
