import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect } from 'vitest'
import { z } from 'zod'
import { secret } from '../../src/index.js'
import { type ApiApp, createApiApp } from '../api/api-app.js'
import { installed } from '../support/installed-program.js'
import { testWith } from '../support/requirements.js'

let api: ApiApp
/** Where the lines put their files. */
let folder: string
beforeAll(async () => {
  // As docs/api.md defines them.
  const tenantSettings = z.object({
    theme: z.enum(['light', 'dark']).default('light'),
    smtpPassword: secret(z.string().max(200)).optional(),
  })
  let looks = 0
  /** The record is published after the first look. */
  async function resolveTxt(name: string): Promise<string[]> {
    looks += 1
    const domains = looks === 1 ? [] : await api.tenancy.listDomains({ tenant: 'acme-ltd' })
    return domains.filter(({ recordName }) => recordName === name).map(({ recordValue }) => recordValue)
  }
  folder = mkdtempSync(join(tmpdir(), 't2f-lines-'))
  api = await createApiApp(undefined, {}, { tenantSettings, domains: { resolveTxt } })
  await api.app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(async () => {
  await api.close()
  rmSync(folder, { recursive: true })
})

interface Step {
  readonly command: string
  readonly status: string
}

/** Reads the commands of a block, each with the status after it. */
function stepsOf(block: string): Step[] {
  const steps = [...block.matchAll(/([^]*?)\n# → (\d{3})\n/g)]
  expect(steps.map(([text]) => text).join(''), 'A command without its status').toBe(block)
  return steps.map(([, command = '', status = '']) => ({ command, status }))
}

testWith(installed('curl'), 'the curl lines of docs/api.md answer what they say', async () => {
  const blocks = [...readFileSync('docs/api.md', 'utf8').matchAll(/```sh\n([^]*?)```/g)].map(([, text = '']) => text)
  const [helper = '', ...others] = blocks
  const steps = others.flatMap(stepsOf)
  expect(steps.length).toBeGreaterThan(40)
  const user = await api.tenancy.createUser({ email: 'ada@example.com', name: 'Ada', emailVerified: true })
  const { token } = await api.tenancy.issueAccessToken({ user: user.id })
  const address = api.app.server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const env = { ...process.env, API: `http://127.0.0.1:${port}`, TOKEN: token, ME: user.id }
  // In one shell: later lines use variables of earlier ones.
  const end = '----- end of step -----'
  const script = [helper, ...steps.map(({ command }) => `${command}\necho '${end}'`)].join('\n')
  const { stdout } = await promisify(execFile)('sh', ['-c', script], { env, cwd: folder, timeout: 120_000 })
  const outputs = stdout.split(`${end}\n`)
  for (const [index, { command, status }] of steps.entries()) {
    const output = outputs[index] ?? ''
    expect(output.trimEnd().split('\n').at(-1), `${command}\n${output}`).toBe(status)
  }
  const [whole, resumed] = ['acme', 'broken-off'].map((name) => readFileSync(join(folder, `${name}.t2fb`)))
  expect(whole?.length).toBeGreaterThan(1000)
  expect(resumed?.equals(whole ?? Buffer.alloc(0))).toBe(true)
})
