import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

/** Proves that a value in a store that others can write was put under its very key by this installation. */
export interface ValueSeal {
  /** The text with its code (HMAC-SHA-256 over key and text, 43 letters of base64url) before it. */
  seal(key: string, text: string): string
  /** The text, if the bytes are what `seal` made for this key; undefined otherwise. */
  open(key: string, sealed: Buffer): string | undefined
}

/** Letters of a code: 256 bits as base64url. */
const codeLength = 43

/**
 * Makes the seal of an installation. Its key is derived (HKDF-SHA-256, RFC 5869) from the master secret, with the
 * installation's id as salt: of two installations with one secret, neither believes the other's values.
 *
 * @param secret the master secret, at least 32 bytes
 */
export function createValueSeal(secret: Buffer, installationId: string): ValueSeal {
  if (secret.length < 32) throw new RangeError('The master secret has at least 32 bytes')
  const macKey = Buffer.from(hkdfSync('sha256', secret, installationId, 'tenants2fast shared cache', 32))

  // The length comes first, so that no letter moves from the key to the text.
  const codeOf = (key: string, text: string | Buffer): string =>
    createHmac('sha256', macKey)
      .update(`${Buffer.byteLength(key)}:${key}`)
      .update(text)
      .digest('base64url')

  return {
    seal: (key, text) => codeOf(key, text) + text,
    open(key, sealed) {
      if (sealed.length < codeLength) return undefined
      const text = sealed.subarray(codeLength)
      // Codes are compared as they are written: base64url has more than one spelling of the last letter.
      const isOurs = timingSafeEqual(Buffer.from(codeOf(key, text), 'latin1'), sealed.subarray(0, codeLength))
      return isOurs ? text.toString('utf8') : undefined
    },
  }
}
