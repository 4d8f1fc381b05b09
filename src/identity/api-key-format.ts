import { createHash, createHmac, hkdfSync, randomInt, timingSafeEqual } from 'node:crypto'
import { type ApiKeyFormat, apiKeyStart } from '../core/identity/api-keys.js'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const idLength = 8
/** 62^43 is more than 2^256. */
const secretLength = 43
const codeLength = 12
const keyPattern = new RegExp(`^${apiKeyStart}[0-9A-Za-z]{${idLength}}_[0-9A-Za-z]{${secretLength + codeLength}}$`)

/**
 * The format of an installation's API keys. Letters and digits only, of one length, after a prefix of ours: scanners for secrets
 * find it. The last 12 characters are a code (HMAC-SHA-256 under a key of the installation) over what is before them: a typing
 * error, a guess and a key of another installation are refused without a query.
 *
 * @param secret the master secret
 */
export function createApiKeyFormat(secret: Buffer): ApiKeyFormat {
  const macKey = Buffer.from(hkdfSync('sha256', secret, '', 'tenants2fast api keys', 32))
  const codeOf = (body: string): string =>
    [...createHmac('sha256', macKey).update(body).digest().subarray(0, codeLength)]
      .map((byte) => alphabet[byte % alphabet.length])
      .join('')
  return {
    make() {
      const prefix = apiKeyStart + randomText(idLength)
      const body = `${prefix}_${randomText(secretLength)}`
      const text = body + codeOf(body)
      return { text, prefix, hash: sha256(text) }
    },
    hashOf(text) {
      if (!keyPattern.test(text)) return undefined
      const body = text.slice(0, -codeLength)
      const isOurs = timingSafeEqual(Buffer.from(codeOf(body)), Buffer.from(text.slice(-codeLength)))
      return isOurs ? sha256(text) : undefined
    },
  }
}

function randomText(length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
