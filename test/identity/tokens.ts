import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Logger } from '../../src/core/logger.js'
import type { VerificationKeys } from '../../src/core/identity/signing-keys.js'
import { toLowS } from '../../src/identity/keys/low-s.js'

export const quietLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }

export interface TestKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly jwk: Record<string, unknown>
}

export function makeKey(alg: 'EdDSA' | 'ES256' | 'RS256', kid: string = randomUUID()): TestKey {
  const { privateKey, publicKey } =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : alg === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { kid, alg, privateKey, publicKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } }
}

/** Fixed keys behind the port that our own issuer implements. */
export function fixedKeys(...keys: TestKey[]): VerificationKeys & { lookUps: number; withdraw(): void } {
  return {
    generation: 0,
    lookUps: 0,
    isCurrent(asOf: number) {
      return asOf === this.generation
    },
    async findKey(alg: string, kid: string | undefined) {
      this.lookUps += 1
      return keys.find((key) => key.kid === kid && key.alg === alg)?.publicKey
    },
    withdraw() {
      keys.length = 0
      Object.assign(this, { generation: this.generation + 1 })
    },
  }
}

export type Json = Record<string, unknown>

export function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

/** Signs exactly this header and these claims; `undefined` leaves a member out. ES256 signs low-s, as our issuer does. */
export async function signExactly(key: TestKey, header: Json, claims: Json): Promise<string> {
  const token = await new SignJWT(JSON.parse(JSON.stringify(claims)) as Json)
    .setProtectedHeader(JSON.parse(JSON.stringify({ alg: key.alg, kid: key.kid, ...header })))
    .sign(key.privateKey, { crit: { exotic: true } })
  if (key.alg !== 'ES256') return token
  const [head, body, signature] = token.split('.') as [string, string, string]
  return `${head}.${body}.${toLowS(Buffer.from(signature, 'base64url')).toString('base64url')}`
}
