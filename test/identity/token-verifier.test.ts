import { createHmac, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTokenVerifier } from '../../src/identity/token-verifier.js'
import { encode, fixedKeys, type Json, makeKey, quietLogger, signExactly } from './tokens.js'

const issuer = 'https://own.example'
const audience = 'our-api'
const startMs = 1_800_000_000_000
const nowSeconds = startMs / 1000

function setUp(alg: 'EdDSA' | 'ES256' = 'EdDSA', cacheSize = 100) {
  const key = makeKey(alg)
  const keys = fixedKeys(key)
  const clock = { ms: startMs }
  const reasons: string[] = []
  const verifier = createTokenVerifier({
    own: { issuer, audience, keys },
    cacheSize,
    logger: { ...quietLogger, debug: (fields) => reasons.push(JSON.stringify(fields)) },
    now: () => clock.ms,
  })
  const claims = (): Json => ({
    iss: issuer,
    aud: audience,
    sub: randomUUID(),
    iat: nowSeconds,
    exp: nowSeconds + 900,
    jti: randomUUID(),
    epoch: 3,
  })
  const sign = (overClaims: Json = {}, overHeader: Json = {}) =>
    signExactly(key, { typ: 'at+jwt', ...overHeader }, { ...claims(), ...overClaims })
  return { key, keys, clock, verifier, claims, sign, reasons, verify: async (token: string) => verifier.verify(token) }
}

const refused = expect.objectContaining({ code: 'TENANCY_AUTH_TOKEN_INVALID' })

describe('valid tokens of our own', () => {
  it.each(['EdDSA', 'ES256'] as const)('A valid token of our own is verified (%s)', async (alg) => {
    const { key, keys, verify, claims } = setUp(alg)
    const own: Json = { ...claims(), tenant: 'acme' }
    expect(await verify(await signExactly(key, { typ: 'at+jwt' }, own))).toEqual({
      issuer,
      subject: own['sub'],
      isOwn: true,
      epoch: 3,
      issuedAt: nowSeconds,
      expiresAt: nowSeconds + 900,
      tenant: 'acme',
      claims: own,
    })
    expect(keys.lookUps).toBe(1)
  })

  it('A verified token is remembered: the second call answers the same object at once', async () => {
    const { sign, verifier } = setUp()
    const token = await sign()
    const first = verifier.verify(token)
    expect(first).toBeInstanceOf(Promise)
    const verified = await first
    expect(verifier.verify(token)).toBe(verified)
  })

  it('A token is verified once for simultaneous callers', async () => {
    const { sign, verify, keys } = setUp()
    const token = await sign()
    const results = await Promise.all(Array.from({ length: 20 }, () => verify(token)))
    expect(new Set(results).size).toBe(1)
    expect(keys.lookUps).toBe(1)
  })

  it('The oldest remembered tokens are dropped when all of them take too many bytes', async () => {
    const { key, claims } = setUp()
    const keys = fixedKeys(key)
    const verifier = createTokenVerifier({
      own: { issuer, audience, keys },
      cacheBytes: 20_000,
      logger: quietLogger,
      now: () => startMs,
    })
    const tokens: string[] = []
    for (let index = 0; index < 20; index += 1) {
      const token = await signExactly(key, { typ: 'at+jwt' }, claims())
      tokens.push(token)
      await verifier.verify(token)
    }
    const newest = tokens.at(-1) as string
    expect(20 * newest.length * 6).toBeGreaterThan(20_000)
    expect(verifier.verify(newest)).not.toBeInstanceOf(Promise)
    expect(keys.lookUps).toBe(20)
    await verifier.verify(tokens[0] as string)
    expect(keys.lookUps).toBe(21)
  })

  it('A verified token is frozen, so callers that share it cannot change it', async () => {
    const { sign, verify } = setUp()
    const verified = await verify(await sign({ nested: { list: [1] } }))
    expect(() => ((verified.claims['nested'] as { list: number[] }).list[0] = 2)).toThrow(TypeError)
    expect(() => Object.assign(verified, { subject: 'other' })).toThrow(TypeError)
  })

  it('A remembered token ends when it expires', async () => {
    const { sign, verify, clock } = setUp()
    const token = await sign({ exp: nowSeconds + 60 })
    await verify(token)
    clock.ms += 64_999
    await verify(token)
    clock.ms += 1
    await expect(verify(token)).rejects.toEqual(refused)
  })

  it('A remembered token ends when its key is withdrawn', async () => {
    const { sign, verify, keys } = setUp()
    const token = await sign()
    await verify(token)
    keys.withdraw()
    await expect(verify(token)).rejects.toEqual(refused)
  })

  it('The oldest remembered tokens are dropped when there are too many', async () => {
    const { sign, verifier, verify, keys } = setUp('EdDSA', 2)
    const tokens = [await sign(), await sign(), await sign()]
    for (const token of tokens) await verify(token)
    expect(keys.lookUps).toBe(3)
    expect(verifier.verify(tokens[0] as string)).toBeInstanceOf(Promise)
    await verify(tokens[0] as string)
    expect(keys.lookUps).toBe(4)
  })
})

describe('claims', () => {
  const bad: readonly (readonly [string, Json])[] = [
    ...['iss', 'aud', 'sub', 'exp', 'iat', 'jti', 'epoch'].map(
      (name) => [`no ${name}`, { [name]: undefined }] as const,
    ),
    ['another issuer', { iss: 'https://own.example/' }],
    ['an issuer that is no text', { iss: [issuer] }],
    ['another audience', { aud: 'other-api' }],
    ['an audience that starts like ours', { aud: `${audience}2` }],
    ['no audience in the list', { aud: [] }],
    ['an audience list with a number', { aud: [audience, 7] }],
    ['an audience object', { aud: { [audience]: true } }],
    ['an empty subject', { sub: '' }],
    ['a numeric subject', { sub: 42 }],
    ['a subject of 256 characters', { sub: 'x'.repeat(256) }],
    ['a subject with NUL', { sub: 'a\0b' }],
    ['a subject with a lone surrogate', { sub: 'a\ud800' }],
    ['exp as text', { exp: String(nowSeconds + 60) }],
    ['exp now minus tolerance', { iat: nowSeconds - 60, exp: nowSeconds - 5 }],
    ['a negative exp', { exp: -1 }],
    ['a huge exp', { exp: 1e300 }],
    ['exp before iat', { exp: nowSeconds - 1 }],
    ['iat in the future', { iat: nowSeconds + 6 }],
    ['iat as text', { iat: 'now' }],
    ['nbf in the future', { nbf: nowSeconds + 6 }],
    ['nbf null', { nbf: null }],
    ['a life above 15 minutes', { exp: nowSeconds + 901 }],
    ['an epoch as text', { epoch: '3' }],
    ['an epoch with a fraction', { epoch: 3.5 }],
    ['an empty jti', { jti: '' }],
    ['a tenant that is no text', { tenant: ['acme'] }],
  ]
  it.each(bad)('Claims with %s are refused before any key is looked up', async (_name, over) => {
    const { sign, verify, keys } = setUp()
    await expect(verify(await sign(over))).rejects.toEqual(refused)
    expect(keys.lookUps).toBe(0)
  })

  it.each<readonly [string, Json]>([
    ['an audience list that holds ours', { aud: ['other', audience] }],
    ['exp just within tolerance', { iat: nowSeconds - 60, exp: nowSeconds - 4 }],
    ['iat within tolerance', { iat: nowSeconds + 5 }],
    ['nbf within tolerance', { nbf: nowSeconds + 5 }],
    ['members named like those of Object.prototype', { constructor: 1, toString: 2 }],
  ])('Claims with %s are accepted', async (_name, over) => {
    const { sign, verify } = setUp()
    await expect(verify(await sign(over))).resolves.toMatchObject({ isOwn: true })
  })
})

describe('headers', () => {
  it.each<readonly [string, Json]>([
    ['typ JWT', { typ: 'JWT' }],
    ['typ in upper case', { typ: 'AT+JWT' }],
    ['typ application/at+jwt', { typ: 'application/at+jwt' }],
    ['no typ', { typ: undefined }],
    ['no kid', { kid: undefined }],
    ['a kid that is a path', { kid: '../../etc/passwd' }],
    ['a kid that is an address', { kid: 'https://evil.example/key' }],
    ['an unknown kid', { kid: 'x' }],
    ['jku', { jku: 'http://127.0.0.1:9/jwks' }],
    ['x5u', { x5u: 'http://127.0.0.1:9/cert' }],
    ['x5c', { x5c: ['MII'] }],
    ['jwk', { jwk: { kty: 'oct', k: 'AA' } }],
    ['crit', { crit: ['exotic'], exotic: 1 }],
  ])('Headers with %s are refused', async (_name, header) => {
    const { sign, verify } = setUp()
    await expect(verify(await sign({}, header))).rejects.toEqual(refused)
  })

  it('A header with an attacker’s embedded key is refused', async () => {
    const { verify, claims, key } = setUp()
    const attacker = makeKey('EdDSA', key.kid)
    const header = { typ: 'at+jwt', jwk: attacker.jwk }
    await expect(verify(await signExactly(attacker, header, claims()))).rejects.toEqual(refused)
    await expect(verify(await signExactly(attacker, { typ: 'at+jwt' }, claims()))).rejects.toEqual(refused)
  })

  it.each(['none', 'None', 'NONE', '', 'HS256', 'RS256', 'ES256', 'Ed25519', 'eddsa'])(
    'Headers with alg %j are refused',
    async (alg) => {
      const { verify, claims, key } = setUp()
      const input = `${encode({ alg, typ: 'at+jwt', kid: key.kid })}.${encode(claims())}`
      for (const secret of [
        key.publicKey.export({ type: 'spki', format: 'pem' }),
        key.publicKey.export({ type: 'spki', format: 'der' }),
        Buffer.from(String(key.jwk['x']), 'base64url'),
      ]) {
        const mac = createHmac('sha256', secret).update(input).digest('base64url')
        await expect(verify(`${input}.${mac}`)).rejects.toEqual(refused)
      }
      await expect(verify(`${input}.`)).rejects.toEqual(refused)
    },
  )
})

describe('spellings of a token', () => {
  const forms: readonly (readonly [string, (token: string) => string])[] = [
    ['nothing', () => ''],
    ['dots only', () => '..'],
    ['two parts', (token) => token.split('.').slice(0, 2).join('.')],
    ['four parts', (token) => `${token}.AA`],
    ['an empty signature', (token) => token.replace(/[^.]+$/, '')],
    ['padding', (token) => `${token}=`],
    ['padding of the header', (token) => token.replace('.', '=.')],
    ['a space behind', (token) => `${token} `],
    ['a space before', (token) => ` ${token}`],
    ['a line break inside', (token) => `${token.slice(0, 9)}\n${token.slice(9)}`],
    ['a NUL behind', (token) => `${token}\0`],
    ['a tab before', (token) => `\t${token}`],
    ['two, as a list', (token) => `${token}, ${token}`],
    ['two, apart', (token) => `${token} ${token}`],
    ['quotes', (token) => `"${token}"`],
    ['a parameter', (token) => `token=${token}`],
    ['a letter beyond ASCII', (token) => `${token}\u00e4`],
    ['the end of a token only', (token) => token.slice(-12)],
    ['another beginning', (token) => `A${token}`],
    ['three letters behind', (token) => `${token}AAA`],
    ['a huge text', (token) => `${token}${'A'.repeat(10_000)}`],
    ['JSON serialization', (token) => JSON.stringify({ token })],
    ['a header list', (token) => token.replace(/^[^.]+/, encode([{ alg: 'EdDSA' }]))],
    ['a header null', (token) => token.replace(/^[^.]+/, encode('null'))],
    ['a header that is no JSON', (token) => token.replace(/^[^.]+/, encode('{'))],
    ['a header with a byte order mark', (token) => token.replace(/^[^.]+/, encode('\ufeff{}'))],
    [
      'claims that are no UTF-8',
      (token) => token.replace(/\.[^.]+\./, `.${Buffer.of(0x7b, 0xff, 0x7d).toString('base64url')}.`),
    ],
  ]
  it.each(forms)('A token written as %s is refused', async (_name, change) => {
    const { sign, verify, keys } = setUp()
    const token = await sign()
    await expect(verify(change(token))).rejects.toEqual(refused)
    expect(keys.lookUps).toBe(0)
    // It is also refused while the token itself is remembered.
    await verify(token)
    await expect(verify(change(token))).rejects.toEqual(refused)
    expect(keys.lookUps).toBe(1)
  })

  it('A token with other unused bits at the end of its signature is refused', async () => {
    const { sign, verify, keys } = setUp()
    const token = await sign()
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    // 64 bytes end in a character with four unused bits.
    const last = alphabet.indexOf(token.at(-1) as string)
    for (let bits = 1; bits < 16; bits += 1) {
      const twin = token.slice(0, -1) + alphabet[last ^ bits]
      const same = Buffer.from(twin.split('.')[2] as string, 'base64url')
      expect(same).toEqual(Buffer.from(token.split('.')[2] as string, 'base64url'))
      await expect(verify(twin)).rejects.toEqual(refused)
    }
    expect(keys.lookUps).toBe(0)
  })

  it('A token with the other equivalent ES256 signature is refused', async () => {
    const { sign, verify } = setUp('ES256')
    const [header, body, text] = (await sign()).split('.') as [string, string, string]
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const low = Buffer.from(text, 'base64url')
    const s = BigInt(`0x${low.subarray(32).toString('hex')}`)
    const high = Buffer.concat([low.subarray(0, 32), Buffer.from((order - s).toString(16).padStart(64, '0'), 'hex')])
    await expect(verify(`${header}.${body}.${low.toString('base64url')}`)).resolves.toBeDefined()
    await expect(verify(`${header}.${body}.${high.toString('base64url')}`)).rejects.toEqual(refused)
  })

  it.each(['EdDSA', 'ES256'] as const)('A token changed at random is never accepted (%s)', async (alg) => {
    const { sign, verify } = setUp(alg)
    const token = await sign()
    await fc.assert(
      fc.asyncProperty(
        fc.nat(token.length - 1),
        fc.nat(3),
        fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom('A', '.', '=', '-', '_', '%', '\u00e9')),
        async (at, removed, inserted) => {
          const changed = token.slice(0, at) + inserted + token.slice(at + removed)
          fc.pre(changed !== token)
          await expect(verify(changed)).rejects.toEqual(refused)
        },
      ),
      { numRuns: 500 },
    )
  })

  it.each(['EdDSA', 'ES256'] as const)(
    'A token with one letter changed, removed or added at any place is refused (%s)',
    async (alg) => {
      const { sign, verify } = setUp(alg)
      const token = await sign()
      await verify(token)
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      for (let at = 0; at <= token.length; at += 1) {
        const letter = token[at] ?? ''
        const before = token.slice(0, at)
        const after = token.slice(at + 1)
        const rest = token.slice(at)
        const next = alphabet[(alphabet.indexOf(letter) + 1) % 64] as string
        const last = alphabet[alphabet.indexOf(letter) ^ 1] ?? 'A'
        const swapped = letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()
        const changed = [next, last, swapped, '', '.', '=', ' ', '+', '%2D'].map((instead) => before + instead + after)
        const inserted = ['A', 'a', '.', '=', ' ', '\n', '\0', '\u200b'].map((more) => before + more + rest)
        for (const text of new Set([...changed, ...inserted])) {
          if (text !== token) await expect(verify(text)).rejects.toEqual(refused)
        }
      }
      await expect(verify(token)).resolves.toBeDefined()
    },
    120_000,
  )

  it('Any text is refused as a token, without another error', async () => {
    const { verify } = setUp()
    const part = fc.oneof(fc.string(), fc.json().map(encode), fc.base64String())
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 4 }), async (parts) => {
        await expect(verify(parts.join('.'))).rejects.toEqual(refused)
      }),
      { numRuns: 300 },
    )
  })
})

describe('refusals', () => {
  it('All refusals have one message; the reason goes to the debug log, the token never does', async () => {
    const { sign, verify, reasons } = setUp()
    const token = await sign({ aud: 'other' })
    const messages = new Set<string>()
    for (const text of [token, 'x', `${await sign()}A`, await sign({ exp: nowSeconds - 10, iat: nowSeconds - 20 })]) {
      await verify(text).catch((error: Error) => messages.add(error.message))
    }
    expect(messages.size).toBe(1)
    expect(reasons).toHaveLength(4)
    expect(reasons.join()).not.toContain(token.slice(0, 20))
  })
})
