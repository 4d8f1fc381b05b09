import { TokenRefusal } from './token-refusal.js'

/** The parts of a compact JWS (RFC 7515), read but not verified. */
export interface ParsedToken {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

const maxTokenLength = 8192
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads a token more strictly than RFC 7515 asks: one text form per token, so no altered spelling of a valid
 * token is valid too.
 * @throws {@link TokenRefusal}
 */
export function parseToken(token: string): ParsedToken {
  if (token.length > maxTokenLength) throw new TokenRefusal('longer than 8 KiB')
  const [header, claims, signature, ...rest] = token.split('.')
  if (header === undefined || claims === undefined || signature === undefined || rest.length > 0) {
    throw new TokenRefusal('not three parts')
  }
  decode(signature)
  return { header: parseObject(header), claims: parseObject(claims) }
}

function parseObject(part: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(decode(part)))
  } catch (error) {
    throw error instanceof TokenRefusal ? error : new TokenRefusal('not UTF-8 JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TokenRefusal('not a JSON object')
  return value as Record<string, unknown>
}

function decode(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  // Encoding again finds padding, whitespace, the other alphabet and tail bits that decoding drops.
  if (part === '' || bytes.toString('base64url') !== part) throw new TokenRefusal('not canonical base64url')
  return bytes
}
