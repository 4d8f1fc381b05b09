import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect } from 'vitest'
import { z } from 'zod'
import { secret } from '../../src/index.js'
import { type ApiApp, createApiApp } from '../api/api-app.js'
import { installed } from '../support/installed-program.js'
import { testWith } from '../support/requirements.js'

let api: ApiApp
beforeAll(async () => {
  // As docs/api.md defines them.
  const tenantSettings = z.object({
    theme: z.enum(['light', 'dark']).default('light'),
    smtpPassword: secret(z.string().max(200)).optional(),
  })
  api = await createApiApp(undefined, {}, { tenantSettings })
  await api.app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(() => api.close())

testWith(installed('curl'), 'the curl lines of docs/api.md answer what they say', async () => {
  const blocks = [...readFileSync('docs/api.md', 'utf8').matchAll(/```sh\n([^]*?)```/g)].map(([, text = '']) => text)
  const [helper = '', ...steps] = blocks
  const lines = steps.flatMap((text) => [...text.matchAll(/^(api .*)\n# → (\d{3})$/gm)])
  expect(lines.length).toBeGreaterThan(12)
  expect(steps.join('').trim().split('\n')).toHaveLength(lines.length * 2)
  const user = await api.tenancy.createUser({ email: 'ada@example.com', name: 'Ada', emailVerified: true })
  const { token } = await api.tenancy.issueAccessToken({ user: user.id })
  const address = api.app.server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const env = { ...process.env, API: `http://127.0.0.1:${port}`, TOKEN: token, ME: user.id }
  for (const [, command = '', status = ''] of lines) {
    const { stdout } = await promisify(execFile)('sh', ['-c', `${helper}\n${command}`], { env })
    expect(stdout.trimEnd().split('\n').at(-1), `${command}\n${stdout}`).toBe(status)
  }
})
