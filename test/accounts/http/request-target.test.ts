import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAccounts } from '../../../src/accounts/index.js'
import { tenancyPlugin } from '../../../src/adapters/fastify/index.js'
import { defaultAccountLimits } from '../../../src/core/accounts/account-limits.js'
import { type AccountsApp, createAccountsApp, someEmail } from '../accounts-app.js'

// How accounts read a request target and the origin of a request, on real sockets.

let self: AccountsApp
let port: number
let token: string
beforeAll(async () => {
  self = await createAccountsApp({ fastify: { caseSensitive: false, ignoreTrailingSlash: true } })
  await self.app.listen({ port: 0, host: '127.0.0.1' })
  ;({ port } = self.app.server.address() as AddressInfo)
  token = (await self.login(await self.addUser())).access_token
})
afterAll(() => self?.close())

/** The status of the answer to a raw request line. */
async function statusOf(target: string): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  socket.write(
    `GET ${target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\nconnection: close\r\n\r\n`,
  )
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(await text(socket))?.[1])
}

describe('request paths', () => {
  test('A path of accounts is served as it is written', async () => {
    expect(await statusOf('/auth/me')).toBe(200)
    expect(await statusOf('/auth/me?x=/../..')).toBe(200)
    expect(await statusOf('/auth/verify-email?token=x')).toBe(200)
  })

  test.each([
    ...[
      '/auth/x/../me',
      '/auth/./me',
      '/auth/x/./../me',
      '/auth/../auth/me',
      '/auth/x/..//me',
      '/auth//me',
      '//auth/me',
    ],
    ...['/auth/x/%2e%2e/me', '/auth/x/%2E%2E/me', '/auth/x/.%2e/me', '/auth/x/%2e./me', '/auth/%2e/me'],
    ...['/auth/x%2f..%2fme', '/auth%2fme', '/auth/x/..%2fme', '/auth%2Fme', '/auth/%2fme'],
    ...['/auth/x/%252e%252e/me', '/auth/x%252f..%252fme', '/auth/%256de', '/auth/x/%25252e%25252e/me'],
    ...['/auth/x\\..\\me', '/auth\\me', '/auth/x/..\\me', '/auth/x%5c..%5cme', '/auth/x/..%5cme', '\\auth\\me'],
    ...['/auth/x/..;/me', '/auth/me;x=y', '/auth;x/me', '/auth/x/;/../me', '/auth/me%3bx', '/auth/..;/auth/me'],
    ...[
      '/auth/%6de',
      '/auth/m%65',
      '/%61uth/me',
      '/AUTH/me',
      '/auth/ME',
      '/Auth/Me',
      '/auth/me/',
      '/auth/me/.',
      '/auth/me/x/..',
    ],
    ...[
      '/auth/me%00',
      '/auth/me%20',
      '/auth/me%3f',
      '/auth/me%23',
      '/auth/me%0d%0a',
      '/auth/me.',
      '/auth/me.json',
      '/auth/me%2e',
    ],
    ...[
      '/auth/me#x',
      '/auth/x/../me?y',
      '/auth/%ef%bc%8e%ef%bc%8e/me',
      '/auth/x/%c0%ae%c0%ae/me',
      '/auth/%',
      '/auth/%zz/../me',
    ],
    ...[
      '/x/../auth/me',
      '/x/%2e%2e/auth/me',
      '/tenants/../auth/me',
      'http://localhost/auth/x/../me',
      'http://localhost//auth/me',
    ],
  ])('A path that a proxy could read differently is not served: %s', async (target) => {
    expect([400, 404]).toContain(await statusOf(target))
  })

  test('The path comes from the request target that an adapter gives, not from the Request’s URL', async () => {
    const get = async (target: string | undefined, url = 'http://localhost/auth/me') => {
      const headers = { authorization: `Bearer ${token}` }
      return (await self.accounts.handle(new Request(url, { headers }), { remoteAddress: '192.0.2.1', target })).status
    }
    expect(await get('/auth/me')).toBe(200)
    expect(await get('/auth/x/../me', 'http://localhost/auth/x/../me')).toBe(404)
    expect(await get('/auth/%2e%2e/auth/me', 'http://localhost/auth/%2e%2e/auth/me')).toBe(404)
    expect(await get(undefined)).toBe(200)
  })

  test.each(['evil', 'a b', '://', 'http,https', 'ftp', '\u00e4', '[', 'javascript', ''])(
    'The answer does not depend on X-Forwarded-Proto and X-Forwarded-Host being %j',
    async (odd) => {
      const behind = Fastify({ trustProxy: true })
      const { tenancy, accounts } = self
      await behind.register(tenancyPlugin, { tenancy, accounts })
      try {
        const answer = await behind.inject({
          url: '/auth/me',
          headers: { 'x-forwarded-proto': odd, 'x-forwarded-host': odd, authorization: `Bearer ${token}` },
        })
        expect(answer.statusCode).toBe(200)
      } finally {
        await behind.close()
      }
    },
  )
})

describe('behind a Unix socket', () => {
  const most = defaultAccountLimits.login.perAccountAndAddress.count

  /** Serves `self`'s catalog through a Unix socket; statuses of logins of one account from each of these. */
  async function loginsThrough(
    trustedProxies: readonly string[],
    forwarded: readonly (string | undefined)[],
  ): Promise<{ statuses: number[]; warnings: number }> {
    const folder = await mkdtemp(join(tmpdir(), 't2f-'))
    const socketPath = join(folder, 's')
    const host = self.tenancy.accountsHost()
    const warnings: string[] = []
    const accounts = await createAccounts({
      tenancy: {
        accountsHost: () => ({
          ...host,
          config: Object.create(host.config, { trustedProxies: { value: trustedProxies } }) as typeof host.config,
          logger: { ...host.logger, warn: (_fields: object, message: string) => void warnings.push(message) },
        }),
      },
      provider: self.accounts.provider,
    })
    const app = Fastify()
    await app.register(tenancyPlugin, { tenancy: self.tenancy, accounts })
    await app.listen({ path: socketPath })
    const email = someEmail()
    const statuses: number[] = []
    try {
      for (const from of forwarded) {
        const sent = request({
          socketPath,
          path: '/auth/login',
          method: 'POST',
          headers: { 'content-type': 'application/json', ...(from !== undefined && { 'x-forwarded-for': from }) },
        })
        sent.end(JSON.stringify({ email, password: 'wrong horse' }))
        const [answer] = (await once(sent, 'response')) as [IncomingMessage]
        await text(answer)
        statuses.push(answer.statusCode ?? 0)
      }
    } finally {
      await app.close()
      await rm(folder, { recursive: true })
    }
    return { statuses, warnings: warnings.filter((message) => message.includes('unix:')).length }
  }

  test('All clients of an untrusted Unix socket count as one, and a warning says once what to do', async () => {
    const { statuses, warnings } = await loginsThrough(
      [],
      Array.from({ length: most + 1 }, (_, index) => `198.51.100.${index}`),
    )
    expect(statuses).toEqual([...Array.from({ length: most }, () => 401), 429])
    expect(warnings).toBe(1)
  })

  test('Behind a trusted Unix socket, the proxy’s entry names the client, and earlier entries are ignored', async () => {
    const { statuses, warnings } = await loginsThrough(
      ['unix:', '192.0.2.0/24'],
      [
        ...Array.from({ length: most }, (_, index) => `203.0.113.${index}, 198.51.100.7, 192.0.2.${index}`),
        '198.51.100.7',
        '198.51.100.8',
      ],
    )
    expect(statuses).toEqual([...Array.from({ length: most }, () => 401), 429, 401])
    expect(warnings).toBe(0)
  })
})

test('A client that hangs up in the middle of a request is known by its address all the same', async () => {
  const app = Fastify()
  const { tenancy } = self
  const seen: (string | undefined)[] = []
  await app.register(tenancyPlugin, {
    tenancy,
    accounts: {
      ...self.accounts,
      async handle(_request, { remoteAddress }) {
        seen.push(remoteAddress)
        return new Response(null)
      },
    },
  })
  // The socket is closed when the handler runs.
  app.addHook('preHandler', async ({ socket }) => {
    const closed = once(socket, 'close')
    socket.destroy()
    await closed
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  try {
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET /auth/me HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 198.51.100.1\r\n\r\n')
    await once(socket, 'close')
    await expect.poll(() => seen).toEqual(['127.0.0.1'])
  } finally {
    await app.close()
  }
})
