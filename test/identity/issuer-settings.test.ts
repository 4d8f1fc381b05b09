import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isTokenCurrent, type VerifiedToken } from '../../src/core/identity/identity.js'
import type { IssuerOptions } from '../../src/core/identity/issuer.js'
import { readTenants, tenantClaimRules } from '../../src/identity/tenant-claim.js'
import { TokenRefusal } from '../../src/identity/token-refusal.js'
import { createTokenVerifier } from '../../src/identity/token-verifier.js'
import { startKeyServer } from './key-server.js'
import { type Json, makeKey, quietLogger, signExactly } from './tokens.js'

const key = makeKey('ES256', 'shared')
const refused = expect.objectContaining({ code: 'TENANCY_AUTH_TOKEN_INVALID' })
const nowSeconds = Math.floor(Date.now() / 1000)
const [lenient, strict] = ['https://lenient.example', 'https://strict.example']

/** Two issuers with the same key; only the first has `settings`. */
async function twoIssuers(settings: Partial<IssuerOptions>, use: (verifier: Verify) => Promise<void>): Promise<void> {
  const server = await startKeyServer([key.jwk])
  const common = { audience: 'api', algorithm: 'ES256' as const, jwksUri: `${server.url}/keys` }
  const verifier = createTokenVerifier({
    issuers: [
      { issuer: lenient, ...common, ...settings },
      { issuer: strict, ...common },
    ],
    logger: quietLogger,
  })
  try {
    await use(async (token) => verifier.verify(token))
  } finally {
    await server.close()
  }
}
type Verify = (token: string) => Promise<unknown>

const sign = (iss: string, claims: Json = {}, header: Json = {}) =>
  signExactly(
    key,
    { typ: 'at+jwt', ...header },
    { iss, aud: 'api', sub: 'u1', iat: nowSeconds, exp: nowSeconds + 300, ...claims },
  )

interface Case {
  readonly name: string
  readonly settings: Partial<IssuerOptions>
  readonly claims?: Json
  readonly header?: Json
  readonly verified?: Json
}

describe('a setting of one issuer', () => {
  const ids = Array.from({ length: 400 }, (_none, index) => `${index}-aaaa-bbbb-cccc-dddddddddddd`)
  const cases: readonly Case[] = [
    { name: 'no typ', settings: { typ: null }, header: { typ: undefined } },
    { name: 'another typ', settings: { typ: ['at+jwt', 'JWT'] }, header: { typ: 'jwt' } },
    {
      name: 'client_id instead of aud',
      settings: { audienceClaim: 'client_id', requiredClaims: { token_use: 'access' } },
      claims: { aud: undefined, client_id: 'api', token_use: 'access' },
    },
    {
      name: 'azp instead of aud',
      settings: { audienceClaim: 'azp', requiredClaims: { sts: ['active', 'new'] } },
      claims: { aud: undefined, azp: 'api', sts: 'active' },
    },
    { name: 'another audience', settings: { audience: ['x', 'other'] }, claims: { aud: ['other', 'y'] } },
    {
      name: 'a token over 8 KiB',
      settings: { maxTokenBytes: 32_768 },
      claims: { groups: ids },
    },
    {
      name: 'a clock 10 s ahead',
      settings: { clockToleranceSeconds: 15 },
      claims: { iat: nowSeconds + 10, nbf: nowSeconds + 10 },
    },
    {
      name: 'a clock 10 s behind',
      settings: { clockToleranceSeconds: 60 },
      claims: { iat: nowSeconds - 60, exp: nowSeconds - 30 },
    },
    {
      name: 'a subject elsewhere',
      settings: { subjectClaim: 'uid' },
      claims: { sub: undefined, uid: 'u2' },
      verified: { subject: 'u2' },
    },
  ]
  it.each(cases)(
    'A setting that accepts $name does so for its issuer only, even if another has the same key',
    async ({ settings, claims, header, verified }) => {
      await twoIssuers(settings, async (verify) => {
        expect(await verify(await sign(lenient, claims, header))).toMatchObject({ issuer: lenient, ...verified })
        await expect(verify(await sign(strict, claims, header))).rejects.toEqual(refused)
        // The other way round: without the setting it is refused, as the default is strict.
        expect(await verify(await sign(strict))).toMatchObject({ issuer: strict })
      })
    },
  )

  const tenantCases: readonly (readonly [string, Partial<IssuerOptions>, Json, Json])[] = [
    ['an array with one name', { tenantClaim: 'org', tenantClaimType: 'array' }, { org: ['acme'] }, { tenant: 'acme' }],
    [
      'an array with several names',
      { tenantClaim: 'org', tenantClaimType: 'array' },
      { org: ['acme', 'globex', 'acme'] },
      { tenant: undefined, tenants: ['acme', 'globex'] },
    ],
    [
      'an object of names',
      { tenantClaim: 'organization', tenantClaimType: 'object' },
      { organization: { acme: { id: '42c3' } } },
      { tenant: 'acme' },
    ],
    [
      'null that stands for none',
      { tenantClaim: 'org', tenantClaimEmpty: 'unbound' },
      { org: null },
      { tenant: undefined },
    ],
    [
      'an empty array',
      { tenantClaim: 'org', tenantClaimType: 'array', tenantClaimEmpty: 'unbound' },
      { org: [] },
      { tenant: undefined },
    ],
    [
      'an empty object',
      { tenantClaim: 'org', tenantClaimType: 'object', tenantClaimEmpty: 'unbound' },
      { org: {} },
      { tenant: undefined },
    ],
    ['a path', { tenantClaim: ['app_metadata', 'tenant'] }, { app_metadata: { tenant: 'acme' } }, { tenant: 'acme' }],
    [
      'a name with dots',
      { tenantClaim: 'https://example.com/a.b' },
      { 'https://example.com/a.b': 'acme' },
      { tenant: 'acme' },
    ],
    [
      'a mapped value',
      { tenantClaim: 'org_id', tenantMap: { org_1: 'acme' } },
      { org_id: 'org_1' },
      { tenant: 'acme' },
    ],
    [
      'the mapped ones of an array',
      { tenantClaim: 'org', tenantClaimType: 'array', tenantMap: { a: 'acme', b: 'acme' } },
      { org: ['a', 'x', 'b'] },
      { tenant: 'acme' },
    ],
    // Bound to a tenant that does not exist, and never unbound.
    [
      'a value that the map lacks',
      { tenantClaim: 'org_id', tenantMap: { org_1: 'acme' } },
      { org_id: 'constructor' },
      { tenant: '' },
    ],
  ]
  it.each(tenantCases)(
    'A tenant claim with %s binds the token for its issuer only',
    async (_name, settings, claims, verified) => {
      await twoIssuers(settings, async (verify) => {
        expect(await verify(await sign(lenient, claims))).toMatchObject(verified)
        expect(await verify(await sign(strict, claims))).not.toMatchObject({ tenant: 'acme' })
      })
    },
  )

  it.each<readonly [string, Partial<IssuerOptions>, unknown]>([
    ['null', {}, null],
    ['an empty text', {}, ''],
    ['an array', {}, ['acme']],
    ['an object', {}, { acme: {} }],
    ['a number', {}, 7],
    ['an empty array', { tenantClaimType: 'array' }, []],
    ['an array with null', { tenantClaimType: 'array', tenantClaimEmpty: 'unbound' }, [null]],
    ['an array with an empty text', { tenantClaimType: 'array', tenantClaimEmpty: 'unbound' }, ['']],
    ['a text for an array', { tenantClaimType: 'array' }, 'acme'],
    ['a text for an object', { tenantClaimType: 'object' }, 'acme'],
    ['an array for an object', { tenantClaimType: 'object' }, ['acme']],
    ['nothing where a tenant is required', { requireTenant: true }, undefined],
  ])('A tenant claim with %s is refused if no setting accepts it', async (_name, settings, org) => {
    await twoIssuers({ tenantClaim: 'org', ...settings }, async (verify) => {
      await expect(verify(await sign(lenient, { org }))).rejects.toEqual(refused)
    })
  })

  it('A required claim is compared with its type, by word in a scope, and by element in an array', async () => {
    await twoIssuers({ requiredClaims: { scope: 'read', kind: [1, true], groups: 'staff' } }, async (verify) => {
      const good = { scope: 'open read', kind: 1, groups: ['x', 'staff'] }
      expect(await verify(await sign(lenient, good))).toMatchObject({ issuer: lenient })
      for (const bad of [
        { scope: 'readwrite' },
        { scope: 'open,read' },
        { scope: undefined },
        { kind: '1' },
        { kind: 'true' },
        { groups: 'x staff' },
        { groups: [['staff']] },
        { groups: { staff: true } },
      ]) {
        await expect(verify(await sign(lenient, { ...good, ...bad }))).rejects.toEqual(refused)
      }
    })
  })

  it('A name from Object.prototype is no claim', async () => {
    await twoIssuers({ requiredClaims: { constructor: 'x' }, tenantClaim: ['org', 'toString'] }, async (verify) => {
      await expect(verify(await sign(lenient, { org: {} }))).rejects.toEqual(refused)
    })
  })

  it('An issuer that changes its algorithm may have two, and others are refused', async () => {
    const rsa = makeKey('RS256', 'rsa')
    const server = await startKeyServer([key.jwk, rsa.jwk])
    const issuer = { issuer: lenient, audience: 'api', jwksUri: `${server.url}/keys` }
    const claims = { iss: lenient, aud: 'api', sub: 'u1', iat: nowSeconds, exp: nowSeconds + 300 }
    try {
      const both = createTokenVerifier({ issuers: [{ ...issuer, algorithm: ['RS256', 'ES256'] }], logger: quietLogger })
      for (const one of [key, rsa]) {
        expect(await both.verify(await signExactly(one, { typ: 'at+jwt' }, claims))).toMatchObject({ subject: 'u1' })
      }
      const one = createTokenVerifier({ issuers: [{ ...issuer, algorithm: 'ES256' }], logger: quietLogger })
      await expect(async () => one.verify(await signExactly(rsa, { typ: 'at+jwt' }, claims))).rejects.toEqual(refused)
    } finally {
      await server.close()
    }
  })

  it('A token nested to any depth is accepted or refused, without another error', async () => {
    await twoIssuers({ maxTokenBytes: 65_536 }, async (verify) => {
      const valid = { iss: lenient, aud: 'api', sub: 'u1', iat: nowSeconds, exp: nowSeconds + 300 }
      const deep = (depth: number) => {
        const payload = `${JSON.stringify(valid).slice(0, -1)},"deep":${'['.repeat(depth)}${']'.repeat(depth)}}`
        const header = Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: 'shared' })).toString('base64url')
        return `${header}.${Buffer.from(payload).toString('base64url')}.AAAA`
      }
      for (const depth of [10, 1000, 20_000]) await expect(verify(deep(depth))).rejects.toEqual(refused)
      let nested: unknown = 'acme'
      for (let index = 0; index < 1000; index += 1) nested = [nested]
      const token = await sign(lenient, { nested })
      expect(await verify(token)).toMatchObject({ issuer: lenient })
    })
  })
})

describe('an issuer’s clock that is ahead', () => {
  const record = (tokensValidAfter: number) => ({
    user: {
      id: 'u',
      email: 'u@example.com',
      name: '',
      image: null,
      emailVerified: true,
      disabledAt: null,
      createdAt: new Date(),
      updatedAt: new Date(),
    },
    tokenEpoch: 1,
    tokensValidAfter,
    accessEpoch: 1,
  })

  it('A token that an issuer’s fast clock dates after a revocation does not survive it', async () => {
    await twoIssuers({ clockToleranceSeconds: 120 }, async (verify) => {
      // The issuer's clock is 100 s ahead; a moment later everything is revoked.
      const old = (await verify(await sign(lenient, { iat: nowSeconds + 100, exp: nowSeconds + 400 }))) as VerifiedToken
      expect(isTokenCurrent(old, record(nowSeconds + 1))).toBe(false)
      expect(isTokenCurrent(old, record(nowSeconds - 30))).toBe(true)
      const other = (await verify(await sign(strict, { iat: nowSeconds }))) as VerifiedToken
      expect(isTokenCurrent(other, record(nowSeconds - 1))).toBe(false)
      expect(isTokenCurrent(other, record(nowSeconds - 6))).toBe(true)
    })
  })

  it.each([undefined, 0, 3, 5])(
    'A token dated after a revocation does not survive it with clockToleranceSeconds %s',
    async (clockToleranceSeconds) => {
      const tolerance = clockToleranceSeconds ?? 5
      const settings = clockToleranceSeconds === undefined ? {} : { clockToleranceSeconds }
      await twoIssuers(settings, async (verify) => {
        const latest = await sign(lenient, { iat: nowSeconds + tolerance, exp: nowSeconds + 400 })
        const old = (await verify(latest)) as VerifiedToken
        expect(isTokenCurrent(old, record(nowSeconds))).toBe(false)
        expect(isTokenCurrent(old, record(nowSeconds - 1))).toBe(true)
      })
    },
  )
})

describe('unsafe settings', () => {
  const good: IssuerOptions = { issuer: 'https://idp.example', audience: 'api' }
  const template = 'https://login.microsoftonline.com/{tenantid}/v2.0'
  const directory = 'aaaabbbb-0000-cccc-1111-dddd2222eeee'
  const entra: IssuerOptions = {
    ...good,
    issuer: template,
    issuerTenants: [directory],
    jwksUri: 'https://login.microsoftonline.com/keys',
  }
  it.each<readonly [string, readonly IssuerOptions[], RegExp]>([
    ['one issuer with two sets of rules', [good, { ...good, typ: 'JWT' }], /named twice/],
    [
      'azp for the audience and nothing that tells ID tokens apart',
      [{ ...good, audienceClaim: 'azp', typ: 'JWT' }],
      /requiredClaims/,
    ],
    ['client_id for the audience without typ', [{ ...good, audienceClaim: 'client_id', typ: null }], /requiredClaims/],
    ['a typ that may be absent', [{ ...good, typ: ['JWT', null] }], /typ says nothing/],
    ['no typ at all', [{ ...good, typ: [] }], /empty typ/],
    ['an empty typ', [{ ...good, typ: '' }], /empty typ/],
    ['a required claim without a value', [{ ...good, requiredClaims: { token_use: [] } }], /without a value/],
    [
      'a tenant that is required and may be empty',
      [{ ...good, tenantClaim: 'org', requireTenant: true, tenantClaimEmpty: 'unbound' }],
      /contradict/,
    ],
    ['a type of tenants without their claim', [{ ...good, tenantClaimType: 'array' }], /set tenantClaim/],
    ['a map to no tenant', [{ ...good, tenantClaim: 'org', tenantMap: { org_1: 'Acme Inc.' } }], /neither a tenant/],
    ['an empty path', [{ ...good, tenantClaim: [] }], /empty tenantClaim/],
    ['a token size without end', [{ ...good, maxTokenBytes: 1e9 }], /maxTokenBytes/],
    ['a clock without end', [{ ...good, clockToleranceSeconds: 3600 }], /clockToleranceSeconds/],
    ['a clock that is no number', [{ ...good, clockToleranceSeconds: Number.NaN }], /clockToleranceSeconds/],
    [
      'linking by addresses that nobody verified',
      [{ ...good, linkByVerifiedEmail: true, emailVerified: 'trusted' }],
      /linkIdentity/,
    ],
    [
      'linking by addresses that never count',
      [{ ...good, linkByVerifiedEmail: true, emailVerified: 'never' }],
      /linkIdentity/,
    ],
    ['false for yes', [{ ...good, emailVerifiedValues: [true, 'False'] }], /means no/],
    [
      'users whose address never counts and must',
      [{ ...good, createUsers: true, emailVerified: 'never' }],
      /requireVerifiedEmail/,
    ],
    ['a shared secret beside a key', [{ ...good, algorithm: ['RS256', 'HS256'] as never }], /HS256/],
    ['a template without directories', [{ ...entra, issuerTenants: undefined }], /issuerTenants/],
    ['a template without jwksUri', [{ ...entra, jwksUri: undefined }], /jwksUri/],
    ['a directory that is no id', [{ ...entra, issuerTenants: ['common'] }], /no id/],
    ['directories without a template', [{ ...good, issuerTenants: 'any' }], /\{tenantid\}/],
    [
      'linking for any directory',
      [{ ...entra, issuerTenants: 'any', linkByVerifiedEmail: true }],
      /chooses the addresses/,
    ],
    [
      'a template and one of its own',
      [entra, { ...good, issuer: template.replace('{tenantid}', directory) }],
      /keep one/,
    ],
  ])('Settings with %s are refused at the start', (_name, issuers, message) => {
    expect(() => createTokenVerifier({ issuers, logger: quietLogger })).toThrow(
      expect.objectContaining({ code: 'TENANCY_CONFIG_INVALID', message: expect.stringMatching(message) }),
    )
  })
})

describe('the log of refused tokens', () => {
  async function logOf(settings: Partial<IssuerOptions>, tokens: readonly string[]) {
    const lines: { level: string; fields: Json; message: string }[] = []
    const write = (level: string) => (fields: object, message: string) =>
      void lines.push({ level, fields: fields as Json, message })
    const logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
    const server = await startKeyServer([key.jwk])
    const verifier = createTokenVerifier({
      issuers: [{ issuer: lenient, audience: 'api', algorithm: 'ES256', jwksUri: `${server.url}/keys`, ...settings }],
      logger,
    })
    for (const token of tokens)
      await Promise.resolve()
        .then(() => verifier.verify(token))
        .catch(() => {})
    await server.close()
    return lines
  }

  it.each<readonly [string, Partial<IssuerOptions>, Json, Json, string]>([
    [
      'type',
      {},
      {},
      { typ: undefined },
      'it has no "typ"; set "typ": null in TENANT_OIDC_ISSUERS if this issuer sends none',
    ],
    ['type', {}, {}, { typ: 'JWT' }, 'its "typ" is "JWT"; set "typ" in TENANT_OIDC_ISSUERS'],
    ['audience', {}, { aud: undefined }, {}, 'it has no "aud"; let the issuer add it, or set "audienceClaim"'],
    ['audience', {}, { aud: ['x', 'y'] }, {}, 'its "aud" is an array with "x"; set "audience"'],
    [
      'tenant',
      { tenantClaim: 'org' },
      { org: null },
      {},
      'its tenant claim "org" is empty; set "tenantClaimEmpty": "unbound"',
    ],
    ['tenant', { tenantClaim: 'org' }, { org: ['acme'] }, {}, 'is an array with "acme"; set "tenantClaimType"'],
    [
      'issued in the future',
      {},
      { iat: nowSeconds + 100 },
      {},
      'ahead of this clock; compare the clocks, and set "clockToleranceSeconds"',
    ],
    ['subject', {}, { sub: undefined }, {}, 'its claim "sub" is nothing, which names no user'],
    [
      'required claim use',
      { requiredClaims: { use: 'access' } },
      { use: 'id' },
      {},
      'its claim "use" is "id"; "requiredClaims" in TENANT_OIDC_ISSUERS demands "access"',
    ],
  ])('The log names the setting that would accept a refused %s', async (reason, settings, claims, header, message) => {
    const token = await sign(lenient, claims, header)
    const [line, ...rest] = await logOf(settings, [token])
    expect(line).toMatchObject({ level: 'info', fields: { issuer: lenient, reason } })
    expect(line?.message).toContain(`An access token of issuer ${lenient} was refused: `)
    expect(line?.message).toContain(message)
    expect(rest).toEqual([])
    expect(JSON.stringify(line)).not.toContain(token.slice(0, 30))
  })

  it('The log names an issuer that is not configured, and the length of a token that is too long', async () => {
    const lines = await logOf({}, [await sign(`${lenient}/`), await sign(lenient, { filler: 'x'.repeat(9000) })])
    expect(lines.map(({ message }) => message)).toEqual([
      `An access token was refused: its "iss" is "${lenient}/", which is not in TENANT_OIDC_ISSUERS (compared exactly, up to a slash at the end)`,
      expect.stringMatching(
        /^An access token was refused: it has \d+ bytes; raise "maxTokenBytes" in TENANT_OIDC_ISSUERS/,
      ),
    ])
  })

  it('The log has at most one line a minute for each issuer and check', async () => {
    const bad = await Promise.all(
      Array.from({ length: 50 }, (_none, index) => sign(lenient, { aud: `other-${index}`, jti: `${index}` })),
    )
    const lines = await logOf({}, [...bad, ...bad, await sign(lenient, { aud: undefined }, { typ: 'JWT' })])
    expect(lines.map(({ fields }) => fields['reason'])).toEqual(['audience', 'type'])
  })

  it('The log shows a stranger’s values shortened and without control characters', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), fc.string({ unit: 'binary', maxLength: 500 }), async (value, text) => {
        const lines = await logOf({}, [await sign(lenient, { aud: value }), await sign(text)])
        for (const { message } of lines) {
          expect(message.length).toBeLessThan(1000)
          expect(message).not.toMatch(/\p{Cc}/u)
        }
      }),
      { numRuns: 30 },
    )
  })
})

describe('a tenant claim of any value', () => {
  it('A tenant claim of any value is refused or binds the token; only an empty one that is allowed leaves it unbound', () => {
    const setting = fc.record({
      tenantClaim: fc.constantFrom('org', ['org']),
      tenantClaimType: fc.constantFrom('string' as const, 'array' as const, 'object' as const),
      tenantClaimEmpty: fc.constantFrom('refuse' as const, 'unbound' as const),
      tenantMap: fc.option(fc.dictionary(fc.string(), fc.constantFrom('acme', 'globex')), { nil: undefined }),
    })
    const value = fc.oneof(
      fc.jsonValue(),
      fc.string(),
      fc.array(fc.string(), { maxLength: 4 }),
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.constantFrom(null, '', [], {}),
    )
    fc.assert(
      fc.property(setting, value, (settings, org) => {
        let tenants: readonly string[] | undefined
        try {
          tenants = readTenants({ org }, tenantClaimRules(settings), (help) => {
            throw new TokenRefusal('tenant', lenient, help)
          })
        } catch (error) {
          expect(error).toBeInstanceOf(TokenRefusal)
          return
        }
        const isEmpty = org === null || org === '' || (typeof org === 'object' && Object.keys(org).length === 0)
        if (tenants.length === 0) {
          expect(isEmpty && settings.tenantClaimEmpty === 'unbound').toBe(true)
          return
        }
        const named = typeof org === 'string' ? [org] : Array.isArray(org) ? org : Object.keys(org as object)
        for (const tenant of tenants) {
          if (settings.tenantMap === undefined) expect(named).toContain(tenant)
          else expect(['', ...named.map((name) => settings.tenantMap?.[String(name)])]).toContain(tenant)
        }
      }),
      { numRuns: 3000 },
    )
  })
})
