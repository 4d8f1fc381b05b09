import { createHmac, randomUUID, sign } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { TenancyError } from '../../src/core/errors/errors.js'
import type { TokenVerifier } from '../../src/core/identity/identity.js'
import { createTokenVerifier } from '../../src/identity/token-verifier.js'
import { encode, fixedKeys, type Json, makeKey, quietLogger, signExactly, type TestKey } from './tokens.js'

// An attacker knows every public key and can name any address. Every token is answered 401, and no address is contacted.

const own = makeKey('EdDSA')
const foreign = makeKey('RS256')
const attacker = { EdDSA: makeKey('EdDSA'), RS256: makeKey('RS256'), ES256: makeKey('ES256') }
/** Refused, and no address was contacted. */
const refused = { code: 'TENANCY_AUTH_TOKEN_INVALID', status: 401, sockets: 0, calls: 0 }

let verifier: TokenVerifier
let trusted: { server: Server; url: string }
let evil: { server: Server; url: string; calls: number }
let sockets = 0
const onSocket = () => {
  sockets += 1
}

async function serve(document: () => unknown) {
  const served = { server: createServer(), url: '', calls: 0 }
  served.server.on('connection', () => {
    served.calls += 1
  })
  served.server.on('request', (_request, response) => response.end(JSON.stringify(document())))
  await new Promise<void>((resolve) => served.server.listen(0, '127.0.0.1', resolve))
  served.url = `http://127.0.0.1:${(served.server.address() as AddressInfo).port}`
  return served
}

const nowSeconds = () => Math.floor(Date.now() / 1000)
const ownClaims = (): Json => ({
  iss: 'https://own.example',
  aud: 'api',
  sub: randomUUID(),
  iat: nowSeconds(),
  exp: nowSeconds() + 600,
  jti: randomUUID(),
  epoch: 1,
})
const foreignClaims = (): Json => ({ ...ownClaims(), iss: 'urn:idp', sub: 'u1' })

beforeAll(async () => {
  trusted = await serve(() => ({ keys: [foreign.jwk] }))
  evil = await serve(() => ({ keys: Object.values(attacker).map((key) => key.jwk) }))
  verifier = createTokenVerifier({
    own: { issuer: 'https://own.example', audience: 'api', keys: fixedKeys(own) },
    issuers: [{ issuer: 'urn:idp', audience: 'api', jwksUri: `${trusted.url}/keys` }],
    logger: quietLogger,
  })
  // The keys of the foreign issuer are fetched once, for a token that is valid.
  await verifier.verify(await signExactly(foreign, { typ: 'at+jwt' }, foreignClaims()))
  subscribe('net.client.socket', onSocket)
})
beforeEach(() => {
  sockets = 0
})
afterAll(async () => {
  unsubscribe('net.client.socket', onSocket)
  for (const { server } of [trusted, evil]) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** The result for a token, and the connections opened since the test began. */
async function outcomeOf(token: string) {
  const problem: { code: string; statusCode: number } = await (async () => verifier.verify(token))().then(
    () => ({ code: 'none', statusCode: 200 }),
    (error: unknown) => error as TenancyError,
  )
  return { code: problem.code, status: problem.statusCode, sockets, calls: evil.calls }
}

describe('the check of this test', () => {
  it('A connection to a key address named by a token would be noticed', async () => {
    const other = await serve(() => ({}))
    await (await fetch(other.url)).text()
    expect({ sockets, calls: other.calls }).toEqual({ sockets: 1, calls: 1 })
    other.server.closeAllConnections()
    await new Promise((resolve) => other.server.close(resolve))
  })
})

describe.each([
  ['our own issuer', 'https://own.example', own, ownClaims, 'EdDSA'],
  ['a foreign issuer', 'urn:idp', foreign, foreignClaims, 'RS256'],
] as const)('tokens in the name of %s', (_name, _issuer, key, claims, algorithm) => {
  const evilKey = { ...attacker[algorithm], kid: key.kid }
  const headers = (): readonly (readonly [string, Json])[] => [
    ['jwk', { jwk: evilKey.jwk }],
    ['jwk without kid', { jwk: evilKey.jwk, kid: undefined }],
    ['jwk and its own kid', { jwk: attacker[algorithm].jwk, kid: attacker[algorithm].kid }],
    ['jku', { jku: `${evil.url}/keys` }],
    ['jku and its own kid', { jku: `${evil.url}/keys`, kid: attacker[algorithm].kid }],
    ['x5u', { x5u: `${evil.url}/cert` }],
    ['x5c', { x5c: ['MIIB'], x5t: 'AA' }],
    ['x5c and x5u in one', { x5c: ['MIIB'], x5u: evil.url, jku: evil.url, jwk: evilKey.jwk }],
    ['a kid that is an address', { kid: `${evil.url}/key` }],
    ['a kid that is a path', { kid: '../../../../../../dev/null' }],
    ['a kid that is a file', { kid: 'file:///etc/passwd' }],
    ['a kid that is SQL', { kid: "' union select 'x' --" }],
    ['a kid that is no text', { kid: { toString: key.kid } }],
    ['a kid list', { kid: [key.kid] }],
    ['an empty kid', { kid: '' }],
    ['a kid with NUL', { kid: `${key.kid}\0` }],
    ['a kid in another case', { kid: key.kid.toUpperCase() }],
    ['a kid that every object has', { kid: '__proto__' }],
    ['a kid of 300 letters', { kid: 'k'.repeat(300) }],
    ['an issuer in the header', { iss: evil.url }],
    ['b64', { b64: false, crit: ['b64'] }],
  ]

  it('A token with a stranger’s signature is refused, whatever keys its header names', async () => {
    for (const [, header] of headers()) {
      const input = `${encode({ alg: algorithm, typ: 'at+jwt', kid: key.kid, ...header })}.${encode(claims())}`
      expect(await outcomeOf(`${input}.${rightSignature(evilKey, input)}`)).toEqual(refused)
    }
  })

  it('A token with another alg is refused, even signed with the right key or with the public key as a secret', async () => {
    const secrets = [
      key.publicKey.export({ type: 'spki', format: 'pem' }),
      String(key.publicKey.export({ type: 'spki', format: 'pem' })).trim(),
      key.publicKey.export({ type: 'spki', format: 'der' }),
      JSON.stringify(key.jwk),
      Buffer.from(String(key.jwk['x'] ?? key.jwk['n']), 'base64url'),
      '',
    ]
    const names = ['none', 'None', 'nOnE', 'HS256', 'hs256', 'HS384', 'HS512', 'PS256', 'ES256', 'ES256K', 'Ed25519']
    for (const alg of [...names, algorithm.toLowerCase(), ` ${algorithm}`, '', null, 0, [algorithm], undefined]) {
      const input = `${encode({ alg, typ: 'at+jwt', kid: key.kid })}.${encode(claims())}`
      expect(await outcomeOf(`${input}.`)).toEqual(refused)
      expect(await outcomeOf(input)).toEqual(refused)
      for (const secret of secrets) {
        expect(await outcomeOf(`${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`)).toEqual(
          refused,
        )
      }
      expect(await outcomeOf(`${input}.${rightSignature(key, input)}`)).toEqual(refused)
    }
  })

  it('A token that nests another token, or is encrypted, is refused', async () => {
    const inner = await signExactly(key, { typ: 'at+jwt' }, claims())
    for (const token of [
      await signExactly(evilKey, { typ: 'at+jwt', cty: 'JWT' }, { ...claims(), token: inner }),
      `${encode({ alg: 'dir', enc: 'A256GCM', typ: 'at+jwt' })}..AAAA.${encode(inner)}.AAAA`,
      JSON.stringify({ payload: inner.split('.')[1], protected: inner.split('.')[0], signature: inner.split('.')[2] }),
    ]) {
      expect(await outcomeOf(token)).toEqual(refused)
    }
  })
})

describe('tokens of two issuers', () => {
  it('The key of one issuer never verifies a token in the name of another', async () => {
    expect(await outcomeOf(await signExactly({ ...foreign, kid: own.kid }, { typ: 'at+jwt' }, ownClaims()))).toEqual(
      refused,
    )
    expect(
      await outcomeOf(await signExactly({ ...own, kid: foreign.kid }, { typ: 'at+jwt' }, foreignClaims())),
    ).toEqual(refused)
    expect(
      await outcomeOf(
        await signExactly(foreign, { typ: 'at+jwt' }, { ...foreignClaims(), iss: 'https://own.example' }),
      ),
    ).toEqual(refused)
  })

  it('Of a claim that a token has twice, the last counts, as in JSON, and that one is checked', async () => {
    const text = JSON.stringify(foreignClaims())
    const input = (body: string) => `${encode({ alg: 'RS256', typ: 'at+jwt', kid: foreign.kid })}.${encode(body)}`
    const signed = (body: string) => `${input(body)}.${rightSignature(foreign, input(body))}`
    expect(await outcomeOf(signed(text.replace('"aud":"api"', '"aud":"api","aud":"other"')))).toEqual(refused)
    expect(
      await outcomeOf(signed(text.replace('"iss":"urn:idp"', '"iss":"urn:idp","iss":"https://own.example"'))),
    ).toEqual(refused)
    const last = signed(text.replace('"sub":"u1"', '"sub":"u0","sub":"u1"'))
    await expect(verifier.verify(last)).resolves.toMatchObject({ subject: 'u1' })
  })
})

/** The signature that the key's holder would make, whatever the header says. */
function rightSignature({ privateKey, alg }: TestKey, input: string): string {
  return sign(alg === 'RS256' ? 'sha256' : null, Buffer.from(input), privateKey).toString('base64url')
}
