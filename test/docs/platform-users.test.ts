import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAccounts } from '../../src/accounts/index.js'
import { tenancyPlugin } from '../../src/adapters/fastify/index.js'
import type { Mail } from '../../src/core/accounts/accounts.js'
import { type ApiApp, createApiApp } from '../api/api-app.js'
import { installed } from '../support/installed-program.js'
import { testWith } from '../support/requirements.js'

// The section of docs/identity.md about users whom the platform makes.

let api: ApiApp
let app: FastifyInstance
let address: string
const mails: Mail[] = []
beforeAll(async () => {
  api = await createApiApp()
  const mail = { send: async (sent: Mail) => void mails.push(sent), close: async () => {} }
  const accounts = await createAccounts({ tenancy: api.tenancy, mail })
  app = Fastify()
  await app.register(tenancyPlugin, { tenancy: api.tenancy, api: api.api, accounts })
  address = await app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(async () => {
  await app.close()
  await api.close()
})

const mailsTo = (email: string) => mails.filter(({ to }) => to === email)
/** The token of the only mail that an address has got. */
async function tokenMailedTo(email: string): Promise<string> {
  await expect.poll(() => mailsTo(email)).toHaveLength(1)
  return /token=([\w-]+)/.exec(mailsTo(email)[0]?.text ?? '')?.[1] ?? ''
}
const valueOf = (name: string, json: string) => new RegExp(`"${name}":"([^"]+)"`).exec(json)?.[1] ?? ''

testWith(
  installed('curl'),
  'the curl lines of docs/identity.md about users made by the platform answer what they say',
  async () => {
    const [, section = ''] =
      /^### Users made by the platform\n([^]*?)^### /m.exec(readFileSync('docs/identity.md', 'utf8')) ?? []
    const [helper = '', ...blocks] = [...section.matchAll(/```sh\n([^]*?)```/g)].map(([, text = '']) => text)
    const steps = [...blocks.join('').matchAll(/(.*)\n# → (\d{3})\n/g)]
    expect(steps.map(([text]) => text).join('')).toBe(blocks.join(''))
    expect(steps).toHaveLength(7)
    const { token } = await api.createAdministrator()
    const env: Record<string, string | undefined> = { ...process.env, API: address, PLATFORM_TOKEN: token }
    let last = ''
    for (const [, command = '', status = ''] of steps) {
      if (command.includes('$MAIL_TOKEN')) env['MAIL_TOKEN'] = await tokenMailedTo('dana@example.com')
      else if (command.includes('"$API/auth/password/forgot"')) expect(mails).toEqual([])
      const { stdout } = await promisify(execFile)('sh', ['-c', `${helper}\n${command}`], { env })
      expect(stdout.trimEnd().split('\n').at(-1), `${command}\n${stdout}`).toBe(status)
      if (command.includes('"$API/platform/users"')) env['DANA'] = valueOf('id', stdout)
      if (command.includes('"$API/auth/login"')) env['TOKEN'] = valueOf('access_token', stdout)
      last = stdout
    }
    expect(JSON.parse(last.slice(0, last.lastIndexOf('\n', last.length - 2)))).toMatchObject({
      items: [{ slug: 'acme', roles: ['Owner'] }],
    })
    expect(mailsTo('dana@example.com')).toMatchObject([{ subject: 'Set a new password' }])
    expect(await api.tenancy.findUserByEmail('dana@example.com')).toMatchObject({ emailVerified: true, name: 'Dana' })
  },
)

const send = async (method: string, path: string, token: string | undefined, body?: object) => {
  const answer = await fetch(address + path, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, json: text === '' ? undefined : JSON.parse(text) }
}

test.each([
  ['registering', '/auth/register', '/auth/verify-email', 'Confirm your e-mail address'],
  ['another link', '/auth/verify-email/resend', '/auth/verify-email', 'Confirm your e-mail address'],
  ['a forgotten password', '/auth/password/forgot', '/auth/password/reset', 'Set a new password'],
])(
  'A user made by the platform gets in by %s, keeps id and name, and accepts an invitation',
  async (_, ask, use, subject) => {
    const administrator = await api.createAdministrator()
    const owner = await api.createUser()
    const tenant = await api.createTenant(owner)
    const email = `eve${ask.replaceAll('/', '-')}@example.com`
    const made = await send('POST', '/platform/users', administrator.token, { email, name: 'Eve' })
    expect([made.status, made.json.emailVerified]).toEqual([201, false])
    const invitation = { email, roles: ['Member'] }
    expect((await send('POST', `/tenants/${tenant.id}/invitations`, owner.token, invitation)).status).toBe(201)

    expect((await send('POST', ask, undefined, { email })).status).toBe(202)
    const password = `correct horse ${ask}`
    const token = await tokenMailedTo(email)
    expect(mailsTo(email)).toMatchObject([{ subject }])
    expect((await send('POST', use, undefined, { token, password })).status).toBeLessThan(300)
    const login = await send('POST', '/auth/login', undefined, { email, password })
    expect(login.status).toBe(200)
    const access = login.json.access_token as string
    expect((await send('GET', '/me', access)).json).toMatchObject({ id: made.json.id, name: 'Eve', email })

    const { json: open } = await send('GET', '/me/invitations', access)
    expect(open.items).toHaveLength(1)
    expect((await send('POST', `/me/invitations/${open.items[0].id}/accept`, access)).status).toBe(200)
    expect((await send('GET', '/me/tenants', access)).json.items).toMatchObject([
      { slug: tenant.slug, roles: ['Member'] },
    ])
  },
)
