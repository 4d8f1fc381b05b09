import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { createTokenVerifier } from '../../src/identity/token-verifier.js'
import { fixedKeys, type Json, makeKey, quietLogger, signExactly } from './tokens.js'

const issuer = 'https://own.example'
const audience = 'our-api'
const nowSeconds = 1_800_000_000
const administrator = randomUUID()
const key = makeKey('EdDSA')

const verifierOf = (own: { readonly audience: string; readonly impersonationAudience?: string }) =>
  createTokenVerifier({
    own: { issuer, keys: fixedKeys(key), ...own },
    logger: quietLogger,
    now: () => nowSeconds * 1000,
  })
const verifier = verifierOf({ audience, impersonationAudience: `${audience}/impersonation` })
const sign = (over: Json = {}) =>
  signExactly(
    key,
    { typ: 'at+jwt' },
    {
      ...{
        iss: issuer,
        aud: `${audience}/impersonation`,
        sub: randomUUID(),
        jti: 'the-id',
        epoch: 3,
        tenant: 'a-tenant',
      },
      ...{ iat: nowSeconds, exp: nowSeconds + 3600, act: { sub: administrator } },
      ...over,
    },
  )
const refused = expect.objectContaining({ code: 'TENANCY_AUTH_TOKEN_INVALID' })

test('A token of an administrator who acts as a member says who that is, and may live an hour', async () => {
  const verified = await verifier.verify(await sign())
  expect(verified).toMatchObject({ tenant: 'a-tenant', impersonation: { id: 'the-id', administrator } })
  expect(Object.isFrozen(verified.impersonation)).toBe(true)
})

test.each<[string, Json]>([
  ['no act', { act: undefined }],
  ['an act that is no object', { act: administrator }],
  ['an act without sub', { act: {} }],
  ['an empty act', { act: { sub: '' } }],
  ['an act whose sub is no text', { act: { sub: [administrator] } }],
  ['no tenant', { tenant: undefined }],
  ['no id', { jti: undefined }],
  ['more than an hour', { exp: nowSeconds + 3601 }],
  ['the audience of a member’s own tokens', { aud: audience, exp: nowSeconds + 900 }],
  ['the audience of the platform', { aud: `${audience}/platform` }],
  ['both audiences', { aud: [audience, `${audience}/impersonation`], exp: nowSeconds + 900 }],
])('One with %s is refused', async (_, over) => {
  await expect(Promise.resolve(sign(over)).then((token) => verifier.verify(token))).rejects.toEqual(refused)
})

test('A verifier that knows nothing of them, as that of the platform and of earlier releases, takes none', async () => {
  for (const own of [{ audience }, { audience: `${audience}/platform` }]) {
    const token = await sign({ exp: nowSeconds + 900 })
    await expect(Promise.resolve().then(() => verifierOf(own).verify(token))).rejects.toEqual(refused)
  }
})

test('A member’s own token lives no longer for it', async () => {
  const own = { aud: audience, act: undefined }
  expect((await verifier.verify(await sign({ ...own, exp: nowSeconds + 900 }))).impersonation).toBeUndefined()
  const token = await sign({ ...own, exp: nowSeconds + 901 })
  await expect(Promise.resolve().then(() => verifier.verify(token))).rejects.toEqual(refused)
})
