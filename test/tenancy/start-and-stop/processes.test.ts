import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createInstallation, type Installation } from '../../support/installation.js'
import { repository, startNode } from '../../support/processes/node-process.js'
import { withAdmin } from '../../support/server.js'
import { bearer, createNotesApp, outcome } from '../notes-app.js'

let installation: Installation

beforeEach(() => {
  installation = createInstallation({ TENANT_READY_DATABASES: '1' })
})
afterEach(() => installation.drop())

test('processes that start at once on an empty server create one catalog, one signing key and one set of rules', async () => {
  const program = `
    import { createTenancy } from 'tenants2fast'
    const tenancy = await createTenancy()
    const user = await tenancy.createUser({ email: process.pid + '@example.com', emailVerified: true })
    await tenancy.createTenant({ name: 'Acme', slug: 'acme-' + process.pid, owner: user.id })
    console.log(JSON.stringify(await tenancy.issueAccessToken({ user: user.id })))
    await tenancy.close()`
  const children = Array.from({ length: 4 }, () => startNode([], { env: installation.env, program }))
  for (const child of children) expect([await child.ended, child.stderr]).toEqual([0, ''])

  const [row] = await withAdmin(
    async (admin) =>
      (
        await admin.query(
          `select (select count(*)::int from installation) as installations,
             (select count(*)::int from signing_keys) as keys,
             (select count(*)::int from roles where name = 'Owner') as owners,
             (select count(*)::int from database_servers) as servers,
             (select count(*)::int from tenants) as tenants`,
        )
      ).rows,
    installation.catalogName,
  )
  expect(row).toEqual({ installations: 1, keys: 1, owners: 1, servers: 1, tenants: 4 })
  // Each process accepts the tokens of the others, and each token reaches its own tenant.
  const tenancy = await installation.open()
  const app = await createNotesApp(tenancy)
  for (const child of children) {
    const { token } = JSON.parse(child.stdout) as { token: string }
    const answer = await app.inject({ url: '/me/tenant', headers: bearer(token) })
    expect(answer.json()).toEqual({ name: 'Acme', slug: `acme-${child.pid}` })
    expect(outcome(await app.inject({ url: '/notes', headers: bearer(token) }))).toBe('200')
  }
  await app.close()
})

test('createTenancy() reads .env of the working directory, variables that are set take precedence, and the process ends by itself', async () => {
  const folder = await mkdtemp(join(tmpdir(), 't2f-env-'))
  try {
    const settings = { ...installation.env, TENANT_MAX_CONNECTIONS: '11', TENANT_TOKEN_TTL: '60' }
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
    await writeFile(join(folder, '.env'), `# settings\n${lines.join('\n')}\nOTHER=1\n`)
    const program = `
      import { createTenancy } from ${JSON.stringify(join(repository, 'dist/index.js'))}
      const tenancy = await createTenancy()
      const { catalogDatabase, maxConnections, token } = tenancy.config
      console.log(JSON.stringify([catalogDatabase, maxConnections, token.ttlSeconds]))
      await tenancy.close()`
    const child = startNode([], { cwd: folder, env: { TENANT_MAX_CONNECTIONS: '12' }, program })
    expect([await child.ended, child.stderr]).toEqual([0, ''])
    expect(JSON.parse(child.stdout)).toEqual([installation.catalogName, 12, 60])
  } finally {
    await rm(folder, { recursive: true })
  }
})
