import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SignatureAlgorithm } from '../../src/core/identity/issuer.js'
import { parseObject, splitToken } from '../../src/identity/parse-token.js'
import { createRemoteKeys } from '../../src/identity/keys/remote-keys.js'
import { checkHeader, foreignPolicy } from '../../src/identity/token-policy.js'
import { TokenRefusal } from '../../src/identity/token-refusal.js'
import { checkSignature } from '../../src/identity/token-signature.js'
import { createTokenVerifier } from '../../src/identity/token-verifier.js'
import { type Json, quietLogger } from './tokens.js'

// Vectors of Project Wycheproof: see vectors/README.md.

interface Vector {
  readonly tcId: number
  readonly comment: string
  readonly jws: unknown
  readonly result: 'valid' | 'invalid' | 'acceptable'
}
interface Group {
  readonly file: string
  readonly comment: string
  readonly public?: Json
  readonly private: Json
  readonly tests: readonly Vector[]
}

const groups = ['json_web_signature_test', 'json_web_key_test'].flatMap((file) => {
  const text = readFileSync(new URL(`vectors/${file}.json`, import.meta.url), 'utf8')
  return (JSON.parse(text) as { testGroups: Omit<Group, 'file'>[] }).testGroups.map((group) => ({ ...group, file }))
})
const vectors = groups.flatMap((group) => group.tests.map((vector) => ({ group, ...vector })))
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

let server: Server
let origin: string
beforeAll(async () => {
  server = createServer((request, response) => {
    const group = groups[Number(request.url?.slice(1))] as Group
    response.end(JSON.stringify({ keys: keysOf(group) }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

/** The keys that the group's issuer publishes, including a shared secret: no issuer should publish one, but a verifier must cope. */
function keysOf({ public: publicKey, private: privateKey }: Group): Json[] {
  const key = publicKey ?? privateKey
  return (key['keys'] as Json[] | undefined) ?? [key]
}

/** The group's issuer: it signs with the algorithm that its key names, or RS256, the default, where that is none of ours. */
function issuerOf(group: Group) {
  const named = keysOf(group)
    .map((key) => String(key['alg']))
    .find((alg) => algorithms.includes(alg))
  return {
    issuer: 'urn:wycheproof',
    audience: 'api',
    algorithm: (named ?? 'RS256') as SignatureAlgorithm,
    jwksUri: `${origin}/${groups.indexOf(group)}`,
  }
}

/** Runs the verifier's steps in order, without those that need claims, which these payloads lack. Returns the refusal. */
async function refusalOf(group: Group, jws: unknown): Promise<string | undefined> {
  const issuer = issuerOf(group)
  try {
    const token = asText(jws)
    const [header] = splitToken(token)
    const { algorithm, kid } = checkHeader({ typ: 'at+jwt', ...parseObject(header) }, foreignPolicy(issuer))
    const key = await createRemoteKeys(issuer, {}, quietLogger).findKey(algorithm, kid)
    if (key === undefined) return 'unknown key'
    await checkSignature(token, key, { algorithm, lowS: false })
    return undefined
  } catch (error) {
    if (error instanceof TokenRefusal) return error.message
    throw error
  }
}

/** One vector is the JSON serialization, given as an object. */
function asText(jws: unknown): string {
  return typeof jws === 'string' ? jws : JSON.stringify(jws)
}

/** Valid vectors that are refused on purpose, by file: the vector's number (`tcId`) and the refusal. */
const refusedValid = {
  json_web_signature_test: {
    // Shared secrets: an issuer's key is public here, so whoever can check such a signature could make one.
    ...refusals('algorithm', [1, 348, 352, 357, 358, 359, 376, 377]),
    // The token names another algorithm than the key: PS384 for a key of PS256, ES512 for one of "ES521" (sic).
    ...refusals('algorithm', [346, 347, 350, 351]),
    // No payload: an access token has claims.
    ...refusals('not canonical base64url', [259, 264, 268, 272, 320, 325]),
    // Characters outside base64url, which a lenient decoder ignores: a token has exactly one text.
    ...refusals('not canonical base64url', [372, 373]),
  },
  // Shared secrets.
  json_web_key_test: refusals('algorithm', [2, 13, 14, 15]),
}

function refusals(reason: string, ids: number[]): Record<number, string> {
  return Object.fromEntries(ids.map((id) => [id, reason]))
}

describe('the vectors of Wycheproof', () => {
  test('All vectors of Wycheproof are present', () => {
    expect(vectors).toHaveLength(427)
    expect(vectors.filter(({ result }) => result === 'valid')).toHaveLength(51)
  })

  test('Invalid vectors of Wycheproof are refused by spelling, header, key or signature', async () => {
    const accepted: string[] = []
    for (const { group, tcId, comment, jws, result } of vectors) {
      if (result === 'valid' || (await refusalOf(group, jws)) !== undefined) continue
      accepted.push(`${group.file} ${tcId} ${group.comment} ${comment}`)
    }
    expect(accepted).toEqual([])
  })

  test('Valid vectors of Wycheproof pass the same steps, except the ones listed', async () => {
    const refused: Record<string, Record<number, string>> = { json_web_signature_test: {}, json_web_key_test: {} }
    for (const { group, tcId, jws, result } of vectors) {
      const reason = result === 'valid' ? await refusalOf(group, jws) : undefined
      if (reason !== undefined) Object.assign(refused[group.file] as object, { [tcId]: reason })
    }
    expect(refused).toEqual(refusedValid)
  })

  test('No vector of Wycheproof is an access token, as none has the claims of one', async () => {
    const reasons = new Set<string>()
    const debug = (fields: object) => reasons.add((fields as { reason: string }).reason)
    for (const { group, jws } of vectors) {
      const verifier = createTokenVerifier({ issuers: [issuerOf(group)], logger: { ...quietLogger, debug } })
      await expect((async () => verifier.verify(asText(jws)))()).rejects.toMatchObject({
        code: 'TENANCY_AUTH_TOKEN_INVALID',
      })
    }
    expect([...reasons].toSorted()).toEqual([
      'not UTF-8 JSON',
      'not a JSON object',
      'not canonical base64url',
      'not three parts',
    ])
  })
})
