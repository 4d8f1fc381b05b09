import { createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint } from 'jose'
import type { NewSigningKey, PublicJwk, SigningAlgorithm, StoredSigningKey } from '../../core/identity/signing-keys.js'
import type { KeySeal } from './key-seal.js'

/** A decrypted signing key. */
export interface OpenSigningKey {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** The public key as in the JWKS document. */
  readonly jwk: PublicJwk
  readonly signsFromMs: number
}

const generate = promisify(generateKeyPair)

/** Generates a key pair, with its private key sealed. */
export async function generateSigningKey(algorithm: SigningAlgorithm, seal: KeySeal): Promise<NewSigningKey> {
  const { privateKey, publicKey } =
    algorithm === 'EdDSA' ? await generate('ed25519', {}) : await generate('ec', { namedCurve: 'P-256' })
  const publicJwk = publicKey.export({ format: 'jwk' })
  const kid = await calculateJwkThumbprint(publicJwk)
  return { kid, algorithm, publicJwk, sealedPrivateKey: seal.seal(privateKey, kid) }
}

/**
 * Opens a stored key. The public key is derived from the private one, not read, so that nobody can add a key who can write the
 * catalog but lacks TENANT_SECRET.
 * @throws TENANCY_CONFIG_SECRET_MISMATCH
 */
export function openSigningKey(stored: StoredSigningKey, seal: KeySeal): OpenSigningKey {
  const { kid, signsFrom } = stored
  const privateKey = seal.open(stored.sealedPrivateKey, kid)
  const publicKey = createPublicKey(privateKey)
  const algorithm = publicKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256'
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' }
  return { kid, algorithm, privateKey, publicKey, jwk, signsFromMs: signsFrom.getTime() }
}
