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
  const page = await readFile(join(repository, 'docs', 'hono.md'), 'utf8')
  snippet = /^```ts\n([^]*?)^```$/m.exec(page)?.[1] ?? ''
})
afterAll(() => installation.drop())

test('the quick start with Hono is less than twenty lines', () => {
  const lines = snippet.split('\n').filter((line) => line.trim() !== '')
  expect(lines.length).toBeGreaterThan(5)
  expect(lines.length).toBeLessThan(20)
})

test('the quick start with Hono compiles under strict and serves', { timeout: 120_000 }, async () => {
  const asked = `
    const dana = await tenancy.createUser({ email: 'dana@example.com', emailVerified: true })
    const max = await tenancy.createUser({ email: 'max@example.com', emailVerified: true })
    await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: dana.id })
    await tenancy.addMember({ tenant: 'acme', user: max.id })
    if (!server.listening) await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const ask = async (url: string, user?: { id: string }) => {
      const token = user && (await tenancy.issueAccessToken({ user: user.id })).token
      const headers: Record<string, string> = token ? { authorization: 'Bearer ' + token } : {}
      const answer = await fetch('http://localhost:' + port + url, { headers })
      const text = await answer.text()
      return [answer.status, text.startsWith('{') ? JSON.parse(text) : text]
    }
    console.log(JSON.stringify([
      await ask('/health'), await ask('/me', max), await ask('/reports', dana), await ask('/reports', max), await ask('/reports'),
    ]))
    await new Promise((resolve) => server.close(resolve))
    await tenancy.close()
  `
  // Inside the package, so that its name is found.
  const folder = await mkdtemp(join(repository, 'dist', 'hono-'))
  try {
    await writeFile(join(folder, 'main.ts'), snippet + asked)
    const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
    const options = ['--ignoreConfig', '--strict', '--module', 'nodenext', '--target', 'es2022', '--skipLibCheck']
    const strict = ['--types', 'node', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess']
    const args = [tsc, ...options, ...strict, join(folder, 'main.ts')]
    const { stdout, status } = spawnSync(process.execPath, args, { cwd: repository, encoding: 'utf8' })
    expect([status, stdout]).toEqual([0, ''])
    const child = startNode([join(folder, 'main.js')], { env: { ...installation.env, PORT: '0' } })
    expect(await child.ended, child.stderr).toBe(0)
    expect(JSON.parse(child.stdout)).toEqual([
      [200, 'ok'],
      [200, { email: 'max@example.com' }],
      [200, { tenant: 'acme' }],
      [403, expect.objectContaining({ code: 'TENANCY_ACCESS_DENIED' })],
      [401, expect.objectContaining({ code: 'TENANCY_AUTH_REQUIRED' })],
    ])
  } finally {
    await rm(folder, { recursive: true })
  }
})
