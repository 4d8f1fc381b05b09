import type { KeyObject, webcrypto } from 'node:crypto'
import { compactVerify } from 'jose'
import { isLowS } from './keys/low-s.js'
import { TokenRefusal } from './token-refusal.js'

/** Rules for checking a signature. */
export interface SignatureRules {
  readonly algorithm: string
  /** True: only the lower one of the two equivalent ES256 signatures is valid. */
  readonly lowS: boolean
  /** The configured issuer, for the log. */
  readonly issuer?: string
}

/**
 * Checks the signature of a compact JWS that `splitToken` has accepted.
 * @throws {@link TokenRefusal}
 */
export async function checkSignature(
  token: string,
  key: KeyObject | webcrypto.CryptoKey,
  { algorithm, lowS, issuer }: SignatureRules,
): Promise<void> {
  if (lowS && algorithm === 'ES256' && !isLowS(signatureOf(token))) throw new TokenRefusal('signature form', issuer)
  await compactVerify(token, key, { algorithms: [algorithm] }).catch((error: unknown) => {
    throw new TokenRefusal(error instanceof Error ? error.message : 'signature', issuer)
  })
}

function signatureOf(token: string): Buffer {
  return Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
}
