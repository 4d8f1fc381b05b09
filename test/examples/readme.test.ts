import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createInstallation, type Installation } from '../support/installation.js'
import { repository, startNode } from '../support/processes/node-process.js'

let installation: Installation
let snippet: string

beforeAll(async () => {
  installation = createInstallation()
  const readme = await readFile(join(repository, 'README.md'), 'utf8')
  snippet = /^```ts\n([^]*?)^```$/m.exec(readme)?.[1] ?? ''
})
afterAll(() => installation.drop())

test('the quick start of the README is five statements besides its imports', () => {
  const lines = snippet.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('import '))
  expect(lines).toHaveLength(5)
  expect(lines[0]).toMatch(/^const tenancy = await createTenancy\(\)/)
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(130)
})

test('the quick start of the README runs as it stands', async () => {
  const asked = `
    const dana = await tenancy.createUser({ email: 'dana@example.com', emailVerified: true })
    const max = await tenancy.createUser({ email: 'max@example.com', emailVerified: true })
    await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: dana.id })
    await tenancy.addMember({ tenant: 'acme', user: max.id })
    const ask = async (user, url) => {
      const { token } = await tenancy.issueAccessToken({ user: user.id })
      const { statusCode, body } = await app.inject({ url, headers: { authorization: 'Bearer ' + token } })
      return [statusCode, JSON.parse(body)]
    }
    console.log(JSON.stringify([
      await ask(dana, '/me/tenant'), await ask(dana, '/reports'), await ask(max, '/reports'),
      [(await app.inject('/reports')).statusCode],
    ]))
    await app.close()
    await tenancy.close()`
  const child = startNode([], { env: installation.env, program: snippet + asked })
  expect([await child.ended, child.stderr]).toEqual([0, ''])
  expect(JSON.parse(child.stdout)).toEqual([
    [200, { name: 'Acme', slug: 'acme' }],
    [200, { user: 'dana@example.com' }],
    [403, expect.objectContaining({ code: 'TENANCY_ACCESS_DENIED' })],
    [401],
  ])
})

test('the quick start of the README compiles under strict', { timeout: 120_000 }, async () => {
  // Inside the package, so that its name is found.
  const folder = await mkdtemp(join(repository, 'dist', 'readme-'))
  try {
    // And what the guide says of routes.
    const more = "\napp.get('/x', { config: { tenancy: 'user' } }, async (request) => request.tenant.slug)\n"
    await writeFile(join(folder, 'snippet.ts'), snippet + more)
    const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
    const options = ['--noEmit', '--ignoreConfig', '--strict', '--module', 'nodenext', '--target', 'es2022']
    const strict = ['--skipLibCheck', '--types', 'node', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess']
    const args = [tsc, ...options, ...strict, join(folder, 'snippet.ts')]
    const { stdout, status } = spawnSync(process.execPath, args, { cwd: repository, encoding: 'utf8' })
    expect([status, stdout]).toEqual([0, ''])
  } finally {
    await rm(folder, { recursive: true })
  }
})
