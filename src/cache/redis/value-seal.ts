import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

/** Proves that this installation wrote a value, under its key, to a store that others can write. */
export interface ValueSeal {
  /** Puts the MAC (HMAC-SHA-256 over key and text, 43 characters of base64url) before the text. */
  seal(key: string, text: string): string
  /** The text, if the bytes are what `seal` made for this key; undefined otherwise. */
  open(key: string, sealed: Buffer): string | undefined
}

/** Characters of a MAC: 256 bits as base64url. */
const codeLength = 43

/**
 * Makes the seal of an installation. Its key is derived (HKDF-SHA-256, RFC 5869) from the master secret, with the
 * installation's id as salt: two installations with one secret refuse each other's values.
 *
 * @param secret the master secret, at least 32 bytes
 */
export function createValueSeal(secret: Buffer, installationId: string): ValueSeal {
  if (secret.length < 32) throw new RangeError('The master secret has at least 32 bytes')
  const macKey = Buffer.from(hkdfSync('sha256', secret, installationId, 'tenants2fast shared cache', 32))

  // The length comes first, so that no character can move from the key to the text.
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
      // MACs are compared as text: base64url has more than one spelling of the last character.
      const isOurs = timingSafeEqual(Buffer.from(codeOf(key, text), 'latin1'), sealed.subarray(0, codeLength))
      return isOurs ? text.toString('utf8') : undefined
    },
  }
}
