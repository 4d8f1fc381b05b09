import { once } from 'node:events'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { User } from '../../../src/index.js'
import { cleanLine, isShownLine } from '../../../src/core/shown-line.js'
import { findTenancyError } from '../../../src/index.js'
import { type AccountsApp, createAccountsApp, someAddress, someEmail, type Tokens } from '../accounts-app.js'
import { allNaughtyStrings, naughtyStrings } from './naughty-strings.js'

// Text of every kind at every route. No text of a stranger causes a server error, and no text that can be stored unchanged is
// refused or changed.

let self: AccountsApp
let port: number
let token: string
let owner: User
beforeAll(async () => {
  self = await createAccountsApp({
    env: {
      TENANT_TRUSTED_PROXIES: '127.0.0.1',
      TENANT_ACCOUNTS_LIMITS: JSON.stringify({
        login: { perAccount: loose, perAccountAndAddress: loose, withSuccesses: loose },
        profile: { perAccount: loose },
      }),
    },
    fastify: { trustProxy: true },
  })
  self.app.get('/tenants/:tenant/notes', async (request) => ({ id: request.tenant.id }))
  self.app.get('/notes', async (request) => ({ id: request.tenant.id }))
  await self.app.listen({ port: 0, host: '127.0.0.1' })
  ;({ port } = self.app.server.address() as AddressInfo)
  const user = await self.addUser()
  token = (await self.login(user)).access_token
  owner = (await self.tenancy.findUserByEmail(user.email))!
  await self.tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: owner.id })
})
afterAll(() => self?.close())

const loose = { count: 1_000_000, windowSeconds: 3600 }
const good = 'correct horse'
const isPlainLine = (text: string) => isShownLine(cleanLine(text))
const isWellFormed = (text: string) => !/\p{Cs}/u.test(text)

/** Routes that take JSON, with valid fields. */
const jsonRoutes: readonly (readonly ['POST' | 'PATCH', string, Readonly<Record<string, unknown>>])[] = [
  ['POST', '/register', { email: 'ada@example.com', name: 'Ada' }],
  ['POST', '/verify-email', { token: 'A'.repeat(43), password: good }],
  ['POST', '/verify-email/resend', { email: 'ada@example.com' }],
  ['POST', '/login', { email: 'ada@example.com', password: good }],
  ['POST', '/logout', { refresh_token: 'A'.repeat(64) }],
  ['POST', '/password/forgot', { email: 'ada@example.com' }],
  ['POST', '/password/reset', { token: 'A'.repeat(43), password: good }],
  ['POST', '/password/change', { current: good, next: good }],
  ['PATCH', '/me', { name: 'Ada', image: 'https://example.com/a.png' }],
]
const formRoutes: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['/token', { grant_type: 'password', username: 'ada@example.com', password: good }],
  ['/token', { grant_type: 'refresh_token', refresh_token: 'A'.repeat(64) }],
  ['/verify-email', { token: 'A'.repeat(43), password: good }],
  ['/password/reset', { token: 'A'.repeat(43), password: good }],
]

/** Sends the bytes of a request and returns the status of the answer; 0: the connection was closed without one. */
async function sendRaw(head: string): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1')
    socket.destroy()
  })
  socket.on('error', () => {})
  // Ends the request, so that the server never waits for more.
  socket.end(head)
  await once(socket, 'close')
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0)
}

/** Runs the callback for some items at a time. */
async function each<Item>(items: readonly Item[], callback: (item: Item) => Promise<void>): Promise<void> {
  for (let index = 0; index < items.length; index += 16) await Promise.all(items.slice(index, index + 16).map(callback))
}

/** A few texts of each kind, and all that are not a plain line. */
const someTexts = Object.values(naughtyStrings).flatMap((texts) =>
  texts.filter((text, index) => index % 6 === 0 || !isPlainLine(text)),
)

describe('hostile text at every route', () => {
  test.each(jsonRoutes)(
    'Hostile text as value or name of any JSON field is answered below 500: %s %s',
    async (method, path, fields) => {
      const bearer = path === '/logout' ? undefined : token
      await each(someTexts, async (text) => {
        const bodies = [
          ...Object.keys(fields).map((name) => ({ ...fields, [name]: text })),
          Object.fromEntries([...Object.entries(fields), [text, 'x']]),
          { ...fields, deep: [{ [text]: [text] }] },
          text,
          [text],
        ]
        for (const json of bodies) {
          const answer = await self.call(method, path, { json, ...(bearer && { token: bearer }) })
          expect([answer.status < 500, text]).toEqual([true, text])
          if (!isWellFormed(text)) expect(answer.status).toBe(bearer === undefined ? 401 : 400)
        }
      })
    },
  )

  test('Hostile text as value or name of any form field is answered below 500', async () => {
    await each(
      someTexts.filter((text, index) => isWellFormed(text) && index % 2 === 0),
      async (text) => {
        for (const [path, fields] of formRoutes) {
          for (const form of [
            ...Object.keys(fields).map((name) => ({ ...fields, [name]: text })),
            { ...fields, [text]: 'x' },
          ]) {
            expect([(await self.call('POST', path, { form })).status < 500, text]).toEqual([true, text])
          }
        }
      },
    )
  })

  test('Hostile text in the query and the path is answered below 500', async () => {
    await each(allNaughtyStrings.filter(isWellFormed), async (text) => {
      const escaped = encodeURIComponent(text)
      const headers = { authorization: `Bearer ${token}` }
      for (const url of [
        `/auth/verify-email?token=${escaped}`,
        `/auth/password/reset?${escaped}=x&token=x`,
        `/auth/${escaped}`,
        `/auth/me/${escaped}`,
        `/auth/${escaped}/me`,
        `/tenants/${escaped}/notes`,
        `/notes?${escaped}`,
      ]) {
        const answer = await self.app.inject({ url, headers, remoteAddress: someAddress() })
        expect([answer.statusCode < 500, url]).toEqual([true, url])
      }
    })
  })

  const headerNames = [
    ...['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded', 'x-tenant-id', 'authorization'],
    ...['content-type', 'content-encoding', 'cookie', 'x-request-id', 'accept', 'host'],
  ]

  test('Hostile text in any header is answered below 500, even with characters that no HTTP parser accepts', async () => {
    const payload = JSON.stringify({ email: 'ada@example.com' })
    const json = { 'content-type': 'application/json' }
    const own = { authorization: `Bearer ${token}` }
    await each(someTexts, async (text) => {
      for (const name of headerNames) {
        const answers = [
          await self.app.inject({
            method: 'POST',
            url: '/auth/verify-email/resend',
            headers: { ...json, [name]: text },
            payload,
          }),
          await self.app.inject({ url: '/auth/me', headers: { ...own, [name]: text } }),
          await self.app.inject({ url: '/notes', headers: { ...own, [name]: text } }),
        ]
        expect([name, text, answers.some(({ statusCode }) => statusCode >= 500)]).toEqual([name, text, false])
      }
    })
  })

  test('Hostile text in any header and in the path of a raw request is answered below 500', async () => {
    await each(
      someTexts.filter((_text, index) => index % 2 === 0),
      async (text) => {
        for (const name of headerNames) {
          const head = name === 'host' ? '' : 'host: localhost\r\n'
          expect(
            await sendRaw(`GET /auth/me HTTP/1.1\r\n${head}connection: close\r\n${name}: ${text}\r\n\r\n`),
          ).toBeLessThan(500)
        }
        for (const path of [`/auth/${text}`, `/auth/me?${text}`, text]) {
          expect(await sendRaw(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`)).toBeLessThan(
            500,
          )
        }
      },
    )
  })
})

test('Functions keep a one-line name in its one spelling and refuse any other with a code', async () => {
  await each(someTexts, async (text) => {
    const name = cleanLine(text)
    const user = await coded(self.tenancy.createUser({ email: someEmail(), name: text }))
    const isUserName = isPlainLine(text) && name.length <= 200
    expect(user).toEqual(isUserName ? expect.objectContaining({ name }) : 'TENANCY_REQUEST_INVALID')
    if (!(isPlainLine(name) && name !== '' && name.length <= 200)) {
      const slug = `t${someEmail().slice(0, 12)}`
      expect(await coded(self.tenancy.createTenant({ name: text, slug, owner: owner.id }))).toBe(
        'TENANCY_TENANT_INPUT_INVALID',
      )
    }
    for (const input of [
      { name: 'x', slug: `${text} `, owner: owner.id },
      { name: 'x', slug: 'some-slug', owner: text },
      { name: 'x', slug: 'some-slug', owner: owner.id, actor: text },
      { name: 'x', slug: 'some-slug', owner: owner.id, contactEmail: `${text} ` },
    ]) {
      expect(await coded(self.tenancy.createTenant(input))).toMatch(/^TENANCY_/)
    }
    for (const ask of [
      () => self.tenancy.createUser({ email: text }),
      () => self.tenancy.createUser({ email: someEmail(), actor: text }),
      () => self.tenancy.findUserByEmail(text),
      () => self.tenancy.findTenant(text),
      () => self.tenancy.disableUser({ user: text }),
      () => self.tenancy.suspendTenant({ tenant: text }),
      () => self.tenancy.listMembers({ tenant: text }),
      () => self.tenancy.addMember({ tenant: 'acme', user: text }),
      () => self.tenancy.addMember({ tenant: text, user: owner.id }),
      () => self.tenancy.access.assignRole({ tenant: 'acme', user: owner.id, role: text }),
      () => self.tenancy.access.assignRole({ tenant: text, user: owner.id, role: 'Admin' }),
    ]) {
      await coded(ask())
    }
  })
  // A valid name creates a tenant.
  for (const name of ["O'Brien & Söhne <b>", '社會科學院', '👩‍👩‍👧‍👦', '%s {{7*7}}']) {
    const slug = `t${someEmail().slice(0, 12)}`
    expect(await self.tenancy.createTenant({ name, slug, owner: owner.id })).toMatchObject({ name, slug })
  }
})

/** The result, or the code of an error that is the caller's fault. */
async function coded(result: Promise<unknown>): Promise<unknown> {
  try {
    return await result
  } catch (error) {
    const refusal = findTenancyError(error)
    if (refusal === undefined) throw error
    expect(refusal.statusCode).toBeLessThan(500)
    return refusal.code
  }
}

describe('text that is accepted', () => {
  test('A name comes back as it was sent, in any script', async () => {
    for (const text of [...someTexts, ...naughtyStrings['scripts']!, ...naughtyStrings['emoji']!]) {
      if (!isPlainLine(text) || text.length > 200) continue
      const answer = await self.call('PATCH', '/me', { token, json: { name: text } })
      expect([answer.status, answer.json()['name']]).toEqual([200, cleanLine(text)])
    }
  })

  test('A password of any characters is that password and no other', async () => {
    const passwords = allNaughtyStrings
      .map((text) => `${text}${good}`)
      .filter((text) => isWellFormed(text) && Array.from(text.normalize('NFKC')).length <= 128)
    const email = someEmail()
    await self.call('POST', '/register', { json: { email } })
    const link = await self.linkTo(email, 'verify-email')
    await self.call('POST', '/verify-email', { json: { token: link, password: good } })
    // A few of each kind: each costs four hashes.
    const some = passwords.filter((_text, index) => index % 24 === 0)
    let current = good
    for (const password of some) {
      const from = someAddress()
      const tokens = (await self.call('POST', '/login', { json: { email, password: current }, from })).json<Tokens>()
      const change = { current, next: password }
      const changed = await self.call('POST', '/password/change', { json: change, token: tokens.access_token })
      expect([changed.status, password]).toEqual([204, password])
      const other = await self.call('POST', '/login', { json: { email, password: `${password}\0` }, from })
      expect(other.status).toBe(401)
      current = password
    }
    expect((await self.call('POST', '/token', { form: { username: email, password: current } })).status).toBe(200)
  })

  test('Passwords with lone surrogates are refused, so none can stand for another', async () => {
    const user = await self.addUser(`${good} \ufffd`)
    for (const half of ['\ud800', '\ud801', '\udfff']) {
      const json = { email: user.email, password: `${good} ${half}` }
      expect((await self.call('POST', '/login', { json })).status).toBe(400)
      expect((await self.call('POST', '/register', { json: { ...json, email: someEmail() } })).status).toBe(400)
      await expect(self.accounts.provider.checkPassword(user.email, json.password)).rejects.toMatchObject({
        code: 'TENANCY_ACCOUNTS_CREDENTIALS_INVALID',
      })
      await expect(
        self.accounts.provider.register({ email: someEmail(), password: json.password }),
      ).rejects.toMatchObject({ code: 'TENANCY_ACCOUNTS_PASSWORD_INVALID' })
    }
  })

  test('A form with invalid UTF-8 or an invalid escape is refused, as it would be read as another text', async () => {
    const user = await self.addUser(`${good} \ufffd`)
    const username = encodeURIComponent(user.email)
    for (const ending of ['%ff', '%fe', '%ed%a0%80', '%c0%80', '%', '%2', '%zz', '%f0%9f%98']) {
      const form = `username=${username}&password=correct+horse+${ending}`
      const answer = await self.app.inject({
        method: 'POST',
        url: '/auth/token',
        remoteAddress: someAddress(),
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: form,
      })
      expect([ending, answer.statusCode, answer.json<{ error: string }>().error]).toEqual([
        ending,
        400,
        'invalid_request',
      ])
    }
    const whole = { username: user.email, password: user.password }
    expect((await self.call('POST', '/token', { form: whole })).status).toBe(200)
  })
})

describe('random text', () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: fc.integer({ min: 0, max: 0xff_ff }).map((code) => String.fromCharCode(code)), maxLength: 60 }),
    fc.constantFrom(...allNaughtyStrings),
  )

  test('Random JSON at any route is answered below 500', async () => {
    const anyJson = fc.jsonValue({ maxDepth: 4 })
    const anyObject = fc.dictionary(anyText, fc.oneof(anyText, anyJson), { maxKeys: 5 })
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...jsonRoutes),
        fc.oneof(anyObject, anyJson),
        async ([method, path, fields], json) => {
          const bodies = [json, Object.assign({}, fields, json)]
          for (const body of bodies) {
            const bearer = path === '/logout' ? undefined : { token }
            expect((await self.call(method, path, { json: body, ...bearer })).status).toBeLessThan(500)
          }
        },
      ),
      { numRuns: 80 },
    )
  })

  test('Random bytes at any route are answered below 500', async () => {
    const types = ['application/json', 'application/x-www-form-urlencoded', 'text/plain', '']
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...jsonRoutes.map(([method, path]) => [method, path] as const), ['POST', '/token'] as const),
        fc.constantFrom(...types),
        fc.uint8Array({ maxLength: 200 }),
        async ([method, path], type, bytes) => {
          const answer = await self.app.inject({
            method,
            url: `/auth${path}`,
            remoteAddress: someAddress(),
            headers: { 'content-type': type },
            payload: Buffer.from(bytes),
          })
          expect(answer.statusCode).toBeLessThan(500)
        },
      ),
      { numRuns: 150 },
    )
  })
})
