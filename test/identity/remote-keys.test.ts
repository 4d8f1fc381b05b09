import { readFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { IssuerOptions } from '../../src/core/identity/issuer.js'
import type { KeyFetchOptions } from '../../src/identity/keys/remote-keys.js'
import { createTokenVerifier } from '../../src/identity/token-verifier.js'
import { type Json, makeKey, quietLogger, signExactly, type TestKey } from './tokens.js'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** An OIDC issuer on loopback that publishes `keys` and counts its requests by path. */
async function startIssuer(keys: TestKey[]) {
  const requests: string[] = []
  const issuer = {
    url: '',
    keys,
    requests,
    discovery: undefined as Json | undefined,
    answer: undefined as ((response: ServerResponse) => void) | undefined,
  }
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    if (request.url === '/.well-known/openid-configuration') {
      response.end(JSON.stringify(issuer.discovery ?? { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` }))
    } else if (issuer.answer) issuer.answer(response)
    else response.end(JSON.stringify({ keys: issuer.keys.map((key) => key.jwk) }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  issuer.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return issuer
}

function verifierFor(options: IssuerOptions | readonly IssuerOptions[], keyFetch: KeyFetchOptions = {}) {
  const issuers = (Array.isArray(options) ? options : [options]) as readonly IssuerOptions[]
  const verifier = createTokenVerifier({ issuers, keyFetch: { retryAfterMs: 0, ...keyFetch }, logger: quietLogger })
  return async (token: string) => verifier.verify(token)
}

function sign(key: TestKey, iss: string, over: Json = {}, header: Json = {}): Promise<string> {
  const iat = Math.floor(Date.now() / 1000)
  return signExactly(key, { typ: 'at+jwt', ...header }, { iss, aud: 'api', sub: 'u1', iat, exp: iat + 300, ...over })
}

const refused = expect.objectContaining({ code: 'TENANCY_AUTH_TOKEN_INVALID' })
const unavailable = expect.objectContaining({ code: 'TENANCY_AUTH_ISSUER_UNAVAILABLE', statusCode: 503 })

describe('the keys of a foreign issuer', () => {
  it.each(['RS256', 'ES256', 'EdDSA'] as const)(
    'A foreign issuer is discovered and its tokens are verified (%s)',
    async (algorithm) => {
      const key = makeKey(algorithm)
      const { url, requests } = await startIssuer([key])
      const verify = verifierFor({ issuer: url, audience: 'api', algorithm, tenantClaim: 'org' })
      const token = await sign(key, url, { org: 'acme', epoch: 7, tenant: 'not-this' })
      await expect(verify(token)).resolves.toMatchObject({
        issuer: url,
        subject: 'u1',
        isOwn: false,
        epoch: undefined,
        tenant: 'acme',
      })
      await verify(await sign(key, url, { sub: 'u2' }))
      expect(requests).toEqual(['/.well-known/openid-configuration', '/keys'])
    },
  )

  it('An issuer with jwksUri needs no discovery', async () => {
    const key = makeKey('ES256')
    const { url, requests } = await startIssuer([key])
    const verify = verifierFor({
      issuer: 'urn:idp',
      audience: ['x', 'api'],
      algorithm: 'ES256',
      jwksUri: `${url}/keys`,
    })
    await expect(verify(await sign(key, 'urn:idp'))).resolves.toMatchObject({ issuer: 'urn:idp' })
    expect(requests).toEqual(['/keys'])
  })

  it('No issuer’s key verifies a token of another issuer', async () => {
    const [keyA, keyB] = [makeKey('ES256', 'same'), makeKey('ES256', 'same')]
    const [a, b] = [await startIssuer([keyA]), await startIssuer([keyB])]
    const verify = verifierFor([a, b].map(({ url }) => ({ issuer: url, audience: 'api', algorithm: 'ES256' as const })))
    await expect(verify(await sign(keyA, a.url))).resolves.toMatchObject({ issuer: a.url })
    await expect(verify(await sign(keyB, b.url))).resolves.toMatchObject({ issuer: b.url })
    await expect(verify(await sign(keyA, b.url))).rejects.toEqual(refused)
    await expect(verify(await sign(keyB, a.url))).rejects.toEqual(refused)
  })

  it('Tokens that can be refused without keys cause no request to their issuer', async () => {
    const key = makeKey('ES256')
    const { url, requests } = await startIssuer([key])
    const verify = verifierFor({ issuer: url, audience: 'api', algorithm: 'ES256' })
    const evil = 'http://127.0.0.1:9/evil'
    for (const token of [
      await sign(key, url, { aud: 'other' }),
      await sign(key, url, { exp: 1 }),
      await sign(key, `${url}/`),
      await sign(key, url, {}, { typ: 'JWT' }),
      await sign(makeKey('EdDSA', key.kid), url),
      await sign(key, evil, {}, { jku: evil }),
      `${await sign(key, url)}=`,
    ]) {
      await expect(verify(token)).rejects.toEqual(refused)
    }
    expect(requests).toEqual([])
  })

  it('A token with typ JWT is accepted only from an issuer that is configured so', async () => {
    const key = makeKey('RS256')
    const { url } = await startIssuer([key])
    const options = { issuer: url, audience: 'api' }
    await expect(
      verifierFor({ ...options, typ: 'JWT' })(await sign(key, url, {}, { typ: 'JWT' })),
    ).resolves.toBeDefined()
    await expect(verifierFor({ ...options, typ: 'JWT' })(await sign(key, url))).rejects.toEqual(refused)
    await expect(verifierFor(options)(await sign(key, url, {}, { typ: 'application/at+jwt' }))).resolves.toBeDefined()
  })

  it('The jku, jwk and x5u of a token’s header are ignored for foreign issuers', async () => {
    const [key, attacker] = [makeKey('ES256'), makeKey('ES256')]
    const evil = await startIssuer([attacker])
    const { url } = await startIssuer([key])
    const verify = verifierFor({ issuer: url, audience: 'api', algorithm: 'ES256' })
    const header = { jku: `${evil.url}/keys`, x5u: `${evil.url}/cert`, jwk: attacker.jwk }
    await expect(verify(await sign(attacker, url, {}, header))).rejects.toEqual(refused)
    await expect(verify(await sign({ ...attacker, kid: key.kid }, url, {}, header))).rejects.toEqual(refused)
    await expect(verify(await sign(key, url, {}, header))).resolves.toBeDefined()
    expect(evil.requests).toEqual([])
  })
})

describe('unusable keys', () => {
  const wycheproof = (comment: string): Json => {
    const text = readFileSync(new URL('vectors/json_web_key_test.json', import.meta.url), 'utf8')
    const { testGroups } = JSON.parse(text) as { testGroups: { comment: string; public: { keys: [Json] } }[] }
    return (testGroups.find((group) => group.comment === comment) as (typeof testGroups)[0]).public.keys[0]
  }
  it.each<readonly [string, Json, string]>([
    ['A shared secret', { kty: 'oct', k: 'c2VjcmV0' }, 'is not asymmetric'],
    ['An empty key', {}, 'is not asymmetric'],
    ['A private key', makeKey('ES256').privateKey.export({ format: 'jwk' }), 'comes with its private part'],
    ['A point that is not on its curve', wycheproof('invalid_point'), 'is not readable'],
    ['An RSA key of 1024 bits', wycheproof('keysize_too_small'), 'has 1024 bits'],
    ['An RSA key with the exponent 1', wycheproof('exponentOne'), 'has the exponent 1'],
    ['A guessable RSA key', wycheproof('jws_rsa_roca_key'), 'is guessable (CVE-2017-15361)'],
  ])('%s in a key set is not used, and the other keys still are', async (_name, jwk, problem) => {
    const [good, bad] = [makeKey('ES256'), { ...makeKey('ES256', 'bad'), jwk: { ...jwk, kid: 'bad' } }]
    const { url } = await startIssuer([bad, good])
    const warnings: string[] = []
    const logger = { ...quietLogger, warn: (_fields: object, message?: string) => warnings.push(message ?? '') }
    const verifier = createTokenVerifier({ issuers: [{ issuer: url, audience: 'api', algorithm: 'ES256' }], logger })
    const verify = async (token: string) => verifier.verify(token)
    await expect(verify(await sign(good, url))).resolves.toMatchObject({ issuer: url })
    await expect(verify(await sign(bad, url))).rejects.toEqual(refused)
    expect(warnings).toEqual([`A key of a token issuer ${problem}: not used`])
  })
})

describe('rotated keys', () => {
  it('A new key id makes the keys be fetched again, at most once per cooldown', async () => {
    const [first, second] = [makeKey('ES256'), makeKey('ES256')]
    const issuer = await startIssuer([first])
    const options: IssuerOptions = { issuer: issuer.url, audience: 'api', algorithm: 'ES256' }
    const verify = verifierFor(options, { cooldownMs: 0 })
    await verify(await sign(first, issuer.url))
    issuer.keys = [first, second]
    await expect(verify(await sign(second, issuer.url))).resolves.toBeDefined()

    const patient = verifierFor(options)
    await patient(await sign(first, issuer.url))
    const before = issuer.requests.length
    for (let index = 0; index < 5; index += 1) {
      await expect(patient(await sign(makeKey('ES256'), issuer.url))).rejects.toEqual(refused)
    }
    expect(issuer.requests.length).toBe(before)
  })

  it('Remembered tokens of a withdrawn key are refused', async () => {
    const [first, second] = [makeKey('ES256'), makeKey('ES256')]
    const issuer = await startIssuer([first])
    const verify = verifierFor({ issuer: issuer.url, audience: 'api', algorithm: 'ES256' }, { cooldownMs: 0 })
    const token = await sign(first, issuer.url)
    await verify(token)
    issuer.keys = [second]
    await verify(await sign(second, issuer.url))
    await expect(verify(token)).rejects.toEqual(refused)
  })
})

describe('a failing issuer', () => {
  const failures: readonly (readonly [string, (response: ServerResponse) => void])[] = [
    ['does not answer', () => {}],
    ['answers 500', (response) => response.writeHead(500).end()],
    ['redirects', (response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end()],
    ['answers no JSON', (response) => response.end('<html>')],
    ['answers no key set', (response) => response.end('{"keys":[1]}')],
    ['answers without end', (response) => void response.write('x'.repeat(600_000))],
    ['stops in the middle', (response) => void response.write('{"keys":[')],
    ['hangs up', (response) => response.destroy()],
  ]
  it.each(failures)(
    'A token of an issuer that %s is answered 503, and accepted once the issuer works again',
    async (_name, answer) => {
      const key = makeKey('ES256')
      const issuer = await startIssuer([key])
      issuer.answer = answer
      const verify = verifierFor({ issuer: issuer.url, audience: 'api', algorithm: 'ES256' }, { timeoutMs: 300 })
      const token = await sign(key, issuer.url)
      await expect(verify(token)).rejects.toEqual(unavailable)
      issuer.answer = undefined
      await expect(verify(token)).resolves.toBeDefined()
    },
  )

  it('An issuer that has just failed is not asked again at once', async () => {
    const key = makeKey('ES256')
    const issuer = await startIssuer([key])
    issuer.answer = (response) => response.writeHead(500).end()
    const verify = verifierFor(
      { issuer: 'urn:idp', audience: 'api', algorithm: 'ES256', jwksUri: `${issuer.url}/keys` },
      { retryAfterMs: 60_000 },
    )
    for (let index = 0; index < 5; index += 1) {
      await expect(verify(await sign(key, 'urn:idp', { sub: `u${index}` }))).rejects.toEqual(unavailable)
    }
    expect(issuer.requests).toEqual(['/keys'])
  })

  it('Remembered tokens stay valid while their issuer fails', async () => {
    const key = makeKey('ES256')
    const issuer = await startIssuer([key])
    const verify = verifierFor({ issuer: issuer.url, audience: 'api', algorithm: 'ES256' }, { maxAgeMs: 0 })
    const token = await sign(key, issuer.url)
    const verified = await verify(token)
    issuer.answer = (response) => response.destroy()
    expect(await verify(token)).toBe(verified)
    await expect(verify(await sign(key, issuer.url, { sub: 'u2' }))).rejects.toEqual(unavailable)
    expect(await verify(token)).toBe(verified)
  })

  it.each<readonly [string, (url: string) => Json]>([
    ['another issuer', (url) => ({ issuer: `${url}/other`, jwks_uri: `${url}/keys` })],
    ['no key address', (url) => ({ issuer: url })],
    ['an unprotected key address', (url) => ({ issuer: url, jwks_uri: 'http://keys.example/' })],
    ['a file', (url) => ({ issuer: url, jwks_uri: 'file:///etc/passwd' })],
  ])('A token of an issuer whose discovery document names %s is answered 503', async (_name, discovery) => {
    const key = makeKey('ES256')
    const issuer = await startIssuer([key])
    issuer.discovery = discovery(issuer.url)
    const verify = verifierFor({ issuer: issuer.url, audience: 'api', algorithm: 'ES256' })
    await expect(verify(await sign(key, issuer.url))).rejects.toEqual(unavailable)
    expect(issuer.requests).toEqual(['/.well-known/openid-configuration'])
  })
})

describe('the configuration', () => {
  const good: IssuerOptions = { issuer: 'https://idp.example', audience: 'api' }
  it.each<readonly [string, readonly IssuerOptions[]]>([
    ['an issuer named twice', [good, { ...good, audience: 'other' }]],
    ['http beyond loopback', [{ ...good, issuer: 'http://idp.example' }]],
    ['a host that looks like loopback', [{ ...good, jwksUri: 'http://127.0.0.1.evil.example/keys' }]],
    ['credentials in an address', [{ ...good, jwksUri: 'https://me:secret@idp.example/keys' }]],
    ['a name that is no address and no jwksUri', [{ ...good, issuer: 'idp' }]],
    ['no audience', [{ ...good, audience: [] }]],
    ['an empty audience', [{ ...good, audience: '' }]],
    ['a shared-secret algorithm', [{ ...good, algorithm: 'HS256' as never }]],
    ['no algorithm at all', [{ ...good, algorithm: 'none' as never }]],
  ])('A configuration with %s is refused', (_name, issuers) => {
    expect(() => createTokenVerifier({ issuers })).toThrow(expect.objectContaining({ code: 'TENANCY_CONFIG_INVALID' }))
  })
})
