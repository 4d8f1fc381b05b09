import { randomBytes } from 'node:crypto'
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createSigningKeyStore } from '../../src/catalog/signing-keys.js'
import type { SigningKeyStore } from '../../src/core/identity/signing-keys.js'
import { isLowS } from '../../src/identity/keys/low-s.js'
import { createSigningKeys, type SigningKeysOptions } from '../../src/identity/keys/signing-keys.js'
import { createTokenVerifier } from '../../src/identity/token-verifier.js'
import { quietLogger } from '../identity/tokens.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'

const issuer = 'tenants2fast'
const audience = 'tenants2fast'
const secret = randomBytes(32)
const input = { userId: '018f0000-0000-7000-8000-000000000001', epoch: 4, ttlSeconds: 900 }
const refused = expect.objectContaining({ code: 'TENANCY_AUTH_TOKEN_INVALID' })

let catalog: TestDatabase
beforeAll(async () => {
  catalog = await createTestCatalog()
})
afterAll(() => catalog.drop())
beforeEach(() => catalog.pool.query('truncate signing_keys'))

/** Starts a process: its own keys and verifier on the shared catalog. */
function startProcess(over: Partial<SigningKeysOptions> = {}) {
  const clock = { ms: Date.now() }
  const store = countReads(over.store ?? createSigningKeyStore(catalog.pool))
  const keys = createSigningKeys({ secret, issuer, audience, logger: quietLogger, now: () => clock.ms, ...over, store })
  const verifier = createTokenVerifier({ own: { issuer, audience, keys }, logger: quietLogger, now: () => clock.ms })
  return { keys, clock, store, verify: async (token: string) => verifier.verify(token) }
}

function countReads(store: SigningKeyStore): SigningKeyStore & { reads: number } {
  return {
    ...store,
    reads: 0,
    listKeys() {
      this.reads += 1
      return store.listKeys()
    },
  }
}

const kidOf = (token: string) => decodeProtectedHeader(token).kid
const kidsOf = async ({ keys }: ReturnType<typeof startProcess>) => (await keys.jwks()).keys.map((key) => key['kid'])
const countRows = async () => (await catalog.pool.query('select 1 from signing_keys')).rowCount

describe('an access token of our own', () => {
  it.each(['EdDSA', 'ES256'] as const)(
    'an own access token has exactly the documented claims and is verified by the JWKS (%s)',
    async (algorithm) => {
      const { keys, verify, clock } = startProcess({ algorithm })
      const { token, expiresIn } = await keys.issueAccessToken({ ...input, tenant: 'acme' })
      expect(expiresIn).toBe(900)
      const jwks = JSON.parse(JSON.stringify(await keys.jwks())) as JSONWebKeySet
      const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(jwks))
      const iat = Math.floor(clock.ms / 1000)
      expect(protectedHeader).toEqual({ typ: 'at+jwt', alg: algorithm, kid: jwks.keys[0]?.kid })
      expect(payload).toEqual({
        iss: issuer,
        aud: audience,
        sub: input.userId,
        iat,
        exp: iat + 900,
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
        epoch: 4,
        tenant: 'acme',
      })
      await expect(verify(token)).resolves.toMatchObject({
        subject: input.userId,
        isOwn: true,
        epoch: 4,
        tenant: 'acme',
      })
    },
  )

  it('an own access token without a tenant has no claim about one', async () => {
    const { keys, verify } = startProcess()
    const verified = await verify((await keys.issueAccessToken(input)).token)
    expect(Object.keys(verified.claims).toSorted()).toEqual(['aud', 'epoch', 'exp', 'iat', 'iss', 'jti', 'sub'])
  })

  it('an ES256 signature is always in its low form', async () => {
    const { keys, verify } = startProcess({ algorithm: 'ES256' })
    for (let index = 0; index < 16; index += 1) {
      const { token } = await keys.issueAccessToken(input)
      expect(isLowS(Buffer.from(token.split('.')[2] as string, 'base64url'))).toBe(true)
      await verify(token)
    }
  })

  it.each([0, -1, 901, 1.5, Number.NaN, 1e12])('an own access token cannot live %s seconds', async (ttlSeconds) => {
    const { keys } = startProcess()
    await expect(keys.issueAccessToken({ ...input, ttlSeconds })).rejects.toMatchObject({
      code: 'TENANCY_CONFIG_INVALID',
    })
  })
})

describe('the first key', () => {
  it('processes that create the first signing key at the same time create one', async () => {
    const pools = Array.from({ length: 4 }, () => new pg.Pool({ connectionString: catalog.url, max: 2 }))
    try {
      const processes = pools.map((pool) => startProcess({ store: createSigningKeyStore(pool) }))
      const tokens = await Promise.all(processes.map(({ keys }) => keys.issueAccessToken(input)))
      expect(new Set(tokens.map(({ token }) => kidOf(token))).size).toBe(1)
      expect(await countRows()).toBe(1)
      for (const { verify } of processes) for (const { token } of tokens) await verify(token)
    } finally {
      await Promise.all(pools.map((pool) => pool.end()))
    }
  })

  it('the first signing key signs even when this process’s clock is behind the catalog’s', async () => {
    const { keys, clock } = startProcess()
    clock.ms -= 60_000
    await expect(keys.issueAccessToken(input)).resolves.toMatchObject({ expiresIn: 900 })
  })
})

describe('rotation', () => {
  it('rotation publishes the successor before it signs, and the predecessor until its last token has expired', async () => {
    const [one, two] = [startProcess(), startProcess()]
    const before = (await one.keys.issueAccessToken(input)).token
    await two.verify(before)
    await one.keys.rotate()
    expect(await kidsOf(one)).toHaveLength(2)
    // The old key still signs, and the other process has not read the new one yet.
    const during = (await one.keys.issueAccessToken(input)).token
    expect(kidOf(during)).toBe(kidOf(before))
    await two.verify(during)

    one.clock.ms += 121_000
    const after = (await one.keys.issueAccessToken(input)).token
    expect(kidOf(after)).not.toBe(kidOf(before))
    two.clock.ms += 121_000
    await two.verify(after)
    await two.verify(before)
    expect(await kidsOf(two)).toEqual([kidOf(before), kidOf(after)])
    const { rows } = await catalog.pool.query(
      'select extract(epoch from expires_at - now()) as left from signing_keys where expires_at is not null',
    )
    expect(Number(rows[0]?.left)).toBeGreaterThan(120 + 900)
  })

  it('rotation removes an expired key and invalidates its cached tokens', async () => {
    const { keys, clock, verify } = startProcess()
    const { token } = await keys.issueAccessToken(input)
    await keys.rotate()
    await verify(token)
    await catalog.pool.query('update signing_keys set expires_at = now() where expires_at is not null')
    clock.ms += 61_000
    await expect(verify(token)).rejects.toEqual(refused)
    expect((await keys.jwks()).keys).toHaveLength(1)
  })

  it('rotation happens once when several processes ask for it', async () => {
    const processes = [startProcess(), startProcess(), startProcess()]
    await processes[0]?.keys.jwks()
    await Promise.all(processes.map(({ keys }) => keys.rotate()))
    expect(await countRows()).toBe(2)
  })

  it('withdrawing a key ends its earlier tokens at once in this process, and within two refreshes in others', async () => {
    const [one, two] = [startProcess(), startProcess()]
    const { token } = await one.keys.issueAccessToken(input)
    await one.verify(token)
    await two.verify(token)
    await one.keys.rotate({ withdraw: true })
    await expect(one.verify(token)).rejects.toEqual(refused)
    two.clock.ms += 60_000
    await expect(two.verify(token)).rejects.toEqual(refused)
    expect(await countRows()).toBe(1)
  })

  it('withdrawing a key creates a new key that other processes read when they first see it', async () => {
    const [one, two] = [startProcess(), startProcess()]
    await two.keys.jwks()
    await one.keys.rotate({ withdraw: true })
    two.clock.ms += 1000
    await expect(two.verify((await one.keys.issueAccessToken(input)).token)).resolves.toBeDefined()
  })

  it('rotation may change the algorithm', async () => {
    const old = startProcess()
    const { token } = await old.keys.issueAccessToken(input)
    const now = startProcess({ algorithm: 'ES256' })
    await now.keys.rotate()
    now.clock.ms += 121_000
    expect(decodeProtectedHeader((await now.keys.issueAccessToken(input)).token).alg).toBe('ES256')
    await expect(now.verify(token)).resolves.toBeDefined()
  })
})

describe('reading', () => {
  it('signing keys are read once for many tokens, and unknown key ids cause no more reads', async () => {
    const { keys, verify, store } = startProcess()
    const stranger = startProcess({ secret: randomBytes(32) })
    for (let index = 0; index < 5; index += 1) await verify((await keys.issueAccessToken(input)).token)
    const reads = store.reads
    await catalog.pool.query('truncate signing_keys')
    for (let index = 0; index < 5; index += 1) {
      await expect(verify((await stranger.keys.issueAccessToken(input)).token)).rejects.toEqual(refused)
    }
    expect(store.reads).toBe(reads)
  })

  it('a failed read of signing keys answers 503 for unknown keys and is tried again', async () => {
    let isDown = true
    const inner = createSigningKeyStore(catalog.pool)
    const { keys } = startProcess({
      store: { ...inner, listKeys: () => (isDown ? Promise.reject(new Error('down')) : inner.listKeys()) },
    })
    await expect(keys.issueAccessToken(input)).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
    isDown = false
    await expect(keys.issueAccessToken(input)).resolves.toBeDefined()
  })

  it('reads of signing keys that fail for long invalidate cached tokens, because a withdrawal could have been missed', async () => {
    let isDown = false
    const inner = createSigningKeyStore(catalog.pool)
    const { keys, verify, clock } = startProcess({
      store: { ...inner, listKeys: () => (isDown ? Promise.reject(new Error('down')) : inner.listKeys()) },
    })
    const { token } = await keys.issueAccessToken(input)
    const verified = await verify(token)
    isDown = true
    clock.ms += 31_000
    expect(await verify(token)).toBe(verified)
    clock.ms += 30_000
    await expect(verify(token)).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
  })
})

describe('strict mode (nothing that was read before the request is trusted)', () => {
  const changes = { confirmedAtMs: Number.NEGATIVE_INFINITY, maxStalenessMs: 0 }

  /** Creates a store whose next read has queried the catalog but returns only after `release`. */
  function heldStore() {
    const inner = createSigningKeyStore(catalog.pool)
    let holding: Promise<void> | undefined
    return {
      store: {
        ...inner,
        async listKeys() {
          const keys = await inner.listKeys()
          const held = holding
          holding = undefined
          await held
          return keys
        },
      },
      hold() {
        let release = () => {}
        holding = new Promise((resolve) => (release = resolve))
        return { isReached: () => holding === undefined, release: () => release() }
      },
    }
  }

  it('in strict mode, a request after a withdrawal is not answered by a verification that began before it', async () => {
    const { store, hold } = heldStore()
    const [one, two] = [startProcess(), startProcess({ store, changes })]
    const { token } = await one.keys.issueAccessToken(input)
    await two.verify(token)
    const { isReached, release } = hold()
    const before = two.verify(token)
    await expect.poll(isReached).toBe(true)
    await one.keys.rotate({ withdraw: true })
    const after = Promise.allSettled([two.verify(token), two.verify(token)])
    release()
    await expect(before).resolves.toMatchObject({ subject: input.userId })
    const outcome = { status: 'rejected', reason: refused }
    expect(await after).toEqual([outcome, outcome])
  })

  it('in strict mode, requests that arrive during a verification share the next one', async () => {
    const { store, hold } = heldStore()
    const { keys, verify, store: counted } = startProcess({ store, changes })
    const { token } = await keys.issueAccessToken(input)
    const { isReached, release } = hold()
    const first = verify(token)
    await expect.poll(isReached).toBe(true)
    const later = Array.from({ length: 20 }, () => verify(token))
    const reads = counted.reads
    release()
    expect(new Set(await Promise.all([first, ...later])).size).toBe(2)
    expect(counted.reads).toBe(reads + 1)
  })
})

describe('at rest', () => {
  it('the catalog stores no private key in plain form', async () => {
    for (const algorithm of ['EdDSA', 'ES256'] as const) {
      await startProcess({ algorithm }).keys.rotate({ withdraw: true })
      const { rows } = await catalog.pool.query('select * from signing_keys')
      expect(rows[0].public_jwk).not.toHaveProperty('d')
      const sealed = rows[0].sealed_private_key as Buffer
      // Object identifiers of Ed25519 and EC keys, which every readable PKCS #8 contains.
      expect(sealed.includes(Buffer.from('2b6570', 'hex'))).toBe(false)
      expect(sealed.includes(Buffer.from('2a8648ce3d0201', 'hex'))).toBe(false)
      expect(JSON.stringify(rows)).not.toContain('PRIVATE')
    }
  })

  it('the table refuses a public key that contains its private part', async () => {
    await expect(
      catalog.pool.query(
        `insert into signing_keys (kid, algorithm, public_jwk, sealed_private_key) values ('k', 'EdDSA', '{"d":"x"}', '')`,
      ),
    ).rejects.toMatchObject({ code: '23514' })
  })

  it('another secret gives a clear error that contains no secret', async () => {
    await startProcess().keys.jwks()
    const other = randomBytes(32)
    const error = await startProcess({ secret: other })
      .keys.jwks()
      .catch((reason: Error) => reason)
    expect(error).toMatchObject({ code: 'TENANCY_CONFIG_SECRET_MISMATCH' })
    expect((error as Error).message).not.toContain(other.toString('hex'))
    expect(await countRows()).toBe(1)
  })

  it.each([
    ['an altered byte', 'set_byte(sealed_private_key, 40, get_byte(sealed_private_key, 40) # 1)'],
    ['too few bytes', 'substring(sealed_private_key for 20)'],
    ['no bytes', `''::bytea`],
    ['another version byte', 'set_byte(sealed_private_key, 0, 2)'],
  ])('a sealed private key with %s is refused', async (_name, expression) => {
    await startProcess().keys.jwks()
    await catalog.pool.query(`update signing_keys set sealed_private_key = ${expression}`)
    await expect(startProcess().keys.jwks()).rejects.toMatchObject({ code: 'TENANCY_CONFIG_SECRET_MISMATCH' })
  })

  it('a sealed key under another key id is refused, and an exchanged public key has no effect', async () => {
    const { keys, verify } = startProcess()
    const { token } = await keys.issueAccessToken(input)
    await catalog.pool.query(`update signing_keys set public_jwk = '{"kty":"OKP","crv":"Ed25519","x":"evil"}'`)
    expect((await startProcess().keys.jwks()).keys).toEqual((await keys.jwks()).keys)
    await expect(verify(token)).resolves.toBeDefined()
    await catalog.pool.query(`update signing_keys set kid = 'other'`)
    await expect(startProcess().keys.jwks()).rejects.toMatchObject({ code: 'TENANCY_CONFIG_SECRET_MISMATCH' })
  })

  it('a secret that is too short is refused', () => {
    expect(() => startProcess({ secret: randomBytes(16) })).toThrow(
      expect.objectContaining({ code: 'TENANCY_CONFIG_INVALID' }),
    )
  })
})
