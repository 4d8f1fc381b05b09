import { createServer as createHttpServer, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { IssuerOptions } from '../../src/core/identity/issuer.js'
import { classifyAddress } from '../../src/identity/keys/address-class.js'
import { isAllowed, requestGuarded, type ResolvedAddress } from '../../src/identity/keys/guarded-request.js'
import { readJwksUri } from '../../src/identity/keys/key-address.js'
import { createTokenVerifier } from '../../src/identity/token-verifier.js'
import { makeSelfSigned } from '../support/servers/self-signed.js'
import { makeKey, signExactly } from './tokens.js'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

const nobody = { loopback: false, privateNetwork: false }
const certificate = makeSelfSigned('localhost', 'idp.example')
const key = makeKey('ES256', 'k')

/** A server on loopback that counts connections; its answers are a map of path to body, or to where it redirects. */
async function listen(server: Server): Promise<{ readonly port: number; readonly connections: () => number }> {
  let connections = 0
  server.on('connection', () => {
    connections += 1
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  closers.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => {
      server.close(resolve)
    })
  })
  return { port: (server.address() as AddressInfo).port, connections: () => connections }
}

/** An https issuer. `answers` has its discovery document and keys by path. */
async function startIssuer(answers: (base: string) => Record<string, object | string>) {
  const paths: string[] = []
  const server = createHttpsServer(certificate, (request, response) => {
    paths.push(String(request.url))
    const answer = answers(`https://${request.headers.host}`)[String(request.url)]
    if (typeof answer === 'string') response.writeHead(302, { location: answer }).end()
    else response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer))
  })
  return { ...(await listen(server)), paths }
}

const honest = (base: string) => ({
  '/.well-known/openid-configuration': { issuer: base, jwks_uri: `${base}/keys` },
  '/keys': { keys: [key.jwk] },
})

function verifierOf(options: Partial<IssuerOptions> & { issuer: string }, addresses?: readonly string[]) {
  const warnings: string[] = []
  const asked: string[] = []
  const verifier = createTokenVerifier({
    issuers: [{ audience: 'api', algorithm: 'ES256', ...options }],
    keyFetch: {
      retryAfterMs: 0,
      ca: certificate.cert,
      ...(addresses === undefined
        ? {}
        : {
            lookup: async (name: string) => {
              asked.push(name)
              return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
            },
          }),
    },
    logger: {
      debug: () => {},
      info: () => {},
      error: () => {},
      warn: (fields) => void warnings.push((fields as { error: string }).error),
    },
  })
  const verify = async () => {
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: options.issuer, aud: 'api', sub: 'u1', iat: now, exp: now + 300 }
    return verifier.verify(await signExactly(key, { typ: 'at+jwt' }, claims))
  }
  return { verify, warnings, asked }
}
const unavailable = expect.objectContaining({ code: 'TENANCY_AUTH_ISSUER_UNAVAILABLE' })

describe('IP addresses', () => {
  it.each([
    ['public', ['93.184.216.34', '8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:2800:220:1::1', '64:ff9b::808:808']],
    ['loopback', ['127.0.0.1', '127.255.255.254', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '0:0:0:0:0:0:0:1']],
    [
      'private',
      ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', 'fd00::1', 'fc00::', '::ffff:10.0.0.1'],
    ],
    [
      'special',
      [
        '0.0.0.0',
        '169.254.169.254',
        '::ffff:169.254.169.254',
        '192.0.0.192',
        '198.18.0.1',
        '224.0.0.1',
        '255.255.255.255',
        '::',
        'fe80::1',
        'fe80::1%eth0',
        'fec0::1',
        'ff02::1',
        '2001::1',
        '2001:db8::1',
        '2002:7f00:1::',
        '::7f00:1',
        '::ffff:0:7f00:1',
        '64:ff9b::7f00:1',
        '64:ff9b::a00:1',
        '64:ff9b::',
        '64:ff9b:1::a00:1',
        'fd00::1%eth0',
        'no address',
        '',
      ],
    ],
  ] as const)('Addresses of the class %s are recognised', (expected, addresses) => {
    for (const address of addresses) expect([address, classifyAddress(address)]).toEqual([address, expected])
  })

  it('An IPv4 address written as IPv6 has the class of the IPv4 address', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number)
        const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
        for (const spelling of [`::ffff:${address}`, `::ffff:${hex}`, `0:0:0:0:0:ffff:${hex}`.toUpperCase()]) {
          expect(classifyAddress(spelling)).toBe(classifyAddress(address))
        }
        expect(classifyAddress(`64:ff9b::${hex}`)).toBe(classifyAddress(address) === 'public' ? 'public' : 'special')
      }),
      { numRuns: 2000 },
    )
  })

  it('Public addresses are allowed over https, and others only by the issuer’s settings', () => {
    const [https, http] = [new URL('https://x.example'), new URL('http://x.example')]
    const rules = [
      nobody,
      { loopback: true, privateNetwork: false },
      { loopback: false, privateNetwork: true },
      { loopback: true, privateNetwork: true },
    ]
    const table = (url: URL) =>
      (['public', 'private', 'loopback', 'special'] as const).map((where) =>
        rules.map((rule) => isAllowed(url, where, rule)),
      )
    expect(table(https)).toEqual([
      [true, true, true, true],
      [false, false, true, true],
      [false, true, false, true],
      [false, false, false, false],
    ])
    expect(table(http)).toEqual([
      [false, false, false, false],
      [false, false, false, false],
      [false, true, false, true],
      [false, false, false, false],
    ])
  })

  it.each([
    'https://127.0.0.1',
    'https://127.1',
    'https://2130706433',
    'https://0x7f000001',
    'https://0177.0.0.1',
    'https://127.0.0.1.',
    'https://①②⑦.0.0.1',
    'https://[::1]',
    'https://[::ffff:127.0.0.1]',
    'https://[0:0:0:0:0:ffff:7f00:1]',
    'https://10.0.0.1',
    'https://167772161',
    'https://[fd00::1]',
    'https://169.254.169.254',
    'https://[::ffff:a9fe:a9fe]',
    'https://0',
    'http://93.184.216.34',
  ])('No connection to %s is made for an issuer on the internet', async (address) => {
    const url = new URL(address)
    const { port, connections } = await listen(createHttpServer((_request, response) => void response.end('{}')))
    url.port = String(port)
    const lookup = async (): Promise<ResolvedAddress[]> => {
      throw new Error('An address is not looked up')
    }
    const request = requestGuarded(url, { rules: nobody, headers: {}, signal: AbortSignal.timeout(5000), lookup })
    await expect(request).rejects.toThrow(/loopback|private network|special address/)
    expect(connections()).toBe(0)
  })
})

describe('host names', () => {
  it.each<readonly [string, readonly string[]]>([
    ['this machine', ['127.0.0.1']],
    ['this machine by IPv6', ['::1']],
    ['this machine by IPv4 in IPv6', ['::ffff:127.0.0.1']],
    ['a private network', ['10.0.0.7']],
    ['a metadata service', ['169.254.169.254']],
    ['the internet and this machine', ['93.184.216.34', '127.0.0.1']],
    ['nothing', []],
  ])('No connection is made to an https issuer whose name resolves to %s', async (_name, addresses) => {
    const { port, connections } = await startIssuer(honest)
    const { verify, warnings, asked } = verifierOf({ issuer: `https://idp.example:${port}` }, addresses)
    await expect(verify()).rejects.toEqual(unavailable)
    expect(asked).toEqual(['idp.example'])
    expect(warnings).toEqual([expect.stringContaining('idp.example')])
    expect(connections()).toBe(0)
  })

  it('A name in a private network needs allowPrivateNetwork, which the log says and which opens nothing else', async () => {
    const { verify, warnings } = verifierOf({ issuer: 'https://keycloak.svc.example' }, ['10.0.0.7'])
    await expect(verify()).rejects.toEqual(unavailable)
    expect(warnings).toEqual([
      'Error: keycloak.svc.example (10.0.0.7) is in a private network: set "allowPrivateNetwork": true in TENANT_OIDC_ISSUERS if this issuer is there',
    ])
    const { port, connections } = await startIssuer(honest)
    for (const addresses of [['127.0.0.1'], ['169.254.169.254'], ['10.0.0.7', '127.0.0.1']]) {
      const open = verifierOf({ issuer: `https://idp.example:${port}`, allowPrivateNetwork: true }, addresses)
      await expect(open.verify()).rejects.toEqual(unavailable)
      expect(open.warnings).toEqual([expect.stringMatching(/loopback|special/)])
    }
    expect(connections()).toBe(0)
  })

  it('A name is resolved once for a request, and the connection goes to the address that was checked', async () => {
    const { port, paths } = await startIssuer(honest)
    const { verify, asked } = verifierOf({ issuer: `https://localhost:${port}` }, ['127.0.0.1'])
    expect(await verify()).toMatchObject({ subject: 'u1' })
    expect(asked).toEqual(['localhost', 'localhost'])
    expect(paths).toEqual(['/.well-known/openid-configuration', '/keys'])
  })

  it('A name is not resolved again for the connection', async () => {
    const { port, connections } = await startIssuer(honest)
    let lookups = 0
    const lookup = async () => {
      lookups += 1
      return [{ address: lookups === 1 ? '127.0.0.1' : '10.0.0.1', family: 4 }]
    }
    // No other resolver knows this name.
    const response = await requestGuarded(new URL(`https://idp.example:${port}/keys`), {
      rules: { loopback: true, privateNetwork: false },
      headers: {},
      signal: AbortSignal.timeout(20_000),
      lookup,
      ca: certificate.cert,
    })
    response.destroy()
    expect([response.statusCode, connections(), lookups]).toEqual([200, 1, 1])
  })

  it('A name that the server’s certificate does not have is refused, whatever its address', async () => {
    const { port } = await startIssuer(honest)
    const { verify, warnings } = verifierOf({ issuer: `https://127.0.0.1:${port}` })
    await expect(verify()).rejects.toEqual(unavailable)
    expect(warnings.join()).toMatch(/altnames/i)
  })

  it('A name that takes too long to resolve is given up after the timeout', async () => {
    const verifier = createTokenVerifier({
      issuers: [{ issuer: 'https://slow.example', audience: 'api', algorithm: 'ES256' }],
      keyFetch: { timeoutMs: 50, lookup: () => new Promise(() => {}) },
      logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    })
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: 'https://slow.example', aud: 'api', sub: 'u1', iat: now, exp: now + 300 }
    await expect(verifier.verify(await signExactly(key, { typ: 'at+jwt' }, claims))).rejects.toEqual(unavailable)
  })
})

describe('addresses in a discovery document', () => {
  it.each([
    'http://idp.example/keys',
    'http://127.0.0.1/keys',
    'https://127.0.0.1/keys',
    'http://localhost:1/keys',
    'https://localhost/keys',
    'https://[::1]/keys',
    'ftp://idp.example/keys',
    'file:///etc/passwd',
    'https://user:secret@idp.example/keys',
    '/keys',
    '',
    undefined,
    7,
  ])('The key address %s is refused from an issuer on the internet', (uri) => {
    const document = { issuer: 'https://idp.example', jwks_uri: uri }
    expect(() => readJwksUri(document, 'https://idp.example', nobody)).toThrow('no https jwks_uri')
  })

  it('A key address may be on this machine if the issuer is', () => {
    for (const uri of ['http://127.0.0.1:1/keys', 'https://localhost/keys', 'https://idp.example/keys']) {
      const document = { issuer: 'http://127.0.0.1:9', jwks_uri: uri }
      expect(readJwksUri(document, 'http://127.0.0.1:9', { ...nobody, loopback: true })).toBe(uri)
    }
  })

  it('Redirects are not followed, neither for discovery nor for keys', async () => {
    const elsewhere = await listen(createHttpServer((_request, response) => void response.end('{}')))
    const target = `http://127.0.0.1:${elsewhere.port}/keys`
    for (const redirected of ['/.well-known/openid-configuration', '/keys']) {
      const { port, paths } = await startIssuer((base) => ({ ...honest(base), [redirected]: target }))
      const { verify, warnings } = verifierOf({ issuer: `https://localhost:${port}` })
      await expect(verify()).rejects.toEqual(unavailable)
      expect(paths.at(-1)).toBe(redirected)
      expect(warnings).toEqual(['Error: The issuer answered with status 302'])
    }
    expect(elsewhere.connections()).toBe(0)
  })
})
