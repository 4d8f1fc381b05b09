import type { KeyObject, webcrypto } from 'node:crypto'
import { compactVerify } from 'jose'
import { isLowS } from './low-s.js'
import { TokenRefusal } from './token-refusal.js'

/** How a signature is checked. */
export interface SignatureRules {
  readonly algorithm: string
  /** Whether only the lower one of the two ES256 signatures that verify alike counts. */
  readonly lowS: boolean
}

/**
 * Checks the signature of a compact JWS that `splitToken` has taken.
 * @throws {@link TokenRefusal}
 */
export async function checkSignature(
  token: string,
  key: KeyObject | webcrypto.CryptoKey,
  { algorithm, lowS }: SignatureRules,
): Promise<void> {
  if (lowS && algorithm === 'ES256' && !isLowS(signatureOf(token))) throw new TokenRefusal('signature form')
  await compactVerify(token, key, { algorithms: [algorithm] }).catch((error: unknown) => {
    throw new TokenRefusal(error instanceof Error ? error.message : 'signature')
  })
}

function signatureOf(token: string): Buffer {
  return Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
}
