import { TokenRefusal } from './token-refusal.js'

/** The parts of a compact JWS (RFC 7515), read but not verified. */
export interface ParsedToken {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** Default length limit of a token, in bytes. */
export const defaultTokenBytes = 8192
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads a token more strictly than RFC 7515 demands: each token has one text, so that no other spelling of a valid token is
 * valid as well.
 * @param maxBytes longest token that is read. Default: 8192
 * @throws {@link TokenRefusal}
 */
export function parseToken(token: string, maxBytes = defaultTokenBytes): ParsedToken {
  const [header, claims] = splitToken(token, maxBytes)
  return { header: parseObject(header), claims: parseObject(claims) }
}

/**
 * Splits a token into its three parts, decoded. Encoding a part again gives exactly the text that it had.
 * @throws {@link TokenRefusal}
 */
export function splitToken(
  token: string,
  maxBytes = defaultTokenBytes,
): [header: Buffer, payload: Buffer, signature: Buffer] {
  if (token.length > maxBytes) {
    throw new TokenRefusal(
      'length',
      undefined,
      `it has ${token.length} bytes; raise "maxTokenBytes" in TENANT_OIDC_ISSUERS if its issuer makes such tokens`,
    )
  }
  const [header, payload, signature, ...rest] = token.split('.')
  if (header === undefined || payload === undefined || signature === undefined || rest.length > 0) {
    throw new TokenRefusal('not three parts')
  }
  return [decode(header), decode(payload), decode(signature)]
}

/**
 * Reads a part as a JSON object in UTF-8.
 * @throws {@link TokenRefusal}
 */
export function parseObject(part: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(part))
  } catch {
    throw new TokenRefusal('not UTF-8 JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TokenRefusal('not a JSON object')
  return value as Record<string, unknown>
}

function decode(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  // Encoding again reveals padding, whitespace, the other alphabet and unused bits, which decoding ignores.
  if (part === '' || bytes.toString('base64url') !== part) throw new TokenRefusal('not canonical base64url')
  return bytes
}
