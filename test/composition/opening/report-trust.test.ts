import { afterAll, beforeAll, expect, test } from 'vitest'
import { reportTrust } from '../../../src/composition/opening/report-trust.js'
import { createTenancy, loadConfig } from '../../../src/index.js'
import { type PrivateServer, startPrivateServer } from '../../support/servers/private-server.js'

const servers: PrivateServer[] = []
let trusting: PrivateServer
let tenantsOnly: PrivateServer
let careful: PrivateServer
beforeAll(async () => {
  const start = async (...hba: string[]) => {
    const server = await startPrivateServer({ hba })
    servers.push(server)
    return server
  }
  trusting = await start('host all all 127.0.0.1/32 trust')
  tenantsOnly = await start('host all postgres 127.0.0.1/32 scram-sha-256', 'host all all 127.0.0.1/32 trust')
  careful = await start('host all all 127.0.0.1/32 scram-sha-256')
}, 120_000)
afterAll(() => Promise.all(servers.map((server) => server.stop())))

/** The warnings about passwords that one start logs. */
async function startOn(server: PrivateServer): Promise<string[]> {
  const warnings: string[] = []
  const ignore = () => {}
  const tenancy = await createTenancy({
    config: loadConfig({
      TENANT_DATABASE_URL: server.url(),
      TENANT_SECRET: 'ab'.repeat(32),
      TENANT_READY_DATABASES: '1',
    }),
    logger: { debug: ignore, info: ignore, error: ignore, warn: (_fields, message) => void warnings.push(message) },
  })
  await tenancy.fillStock()
  await tenancy.close()
  return warnings.filter((warning) => /password/.test(warning))
}

const says = (role: string) =>
  expect.stringMatching(new RegExp(`let the role ${role} in with a wrong password.*scram-sha-256`))

test('A server that trusts everybody is reported once at each start, from the first on', async () => {
  expect(await startOn(trusting)).toEqual([says('postgres')])
})

test('A server that trusts only tenants’ roles is reported as soon as it has such a role', async () => {
  expect(await startOn(tenantsOnly)).toEqual([])
  expect(await startOn(tenantsOnly)).toEqual([says('tenant_\\w+')])
})

test('A server that asks for passwords is not reported, nor is one that does not answer', async () => {
  expect(await startOn(careful)).toEqual([])
  expect(await startOn(careful)).toEqual([])
  const warnings: unknown[] = []
  const ignore = () => {}
  await reportTrust({
    server: { ...careful.account, host: '127.0.0.1', port: 1 },
    catalog: 'tenants2fast',
    records: { findAny: async () => undefined },
    logger: { debug: ignore, info: ignore, error: ignore, warn: (...line) => void warnings.push(line) },
  })
  expect(warnings).toEqual([])
})
