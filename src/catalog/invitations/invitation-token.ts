import { createHash, randomBytes } from 'node:crypto'

/** Makes a token of 256 random bits, as text of 43 characters that a URL may hold. */
export function newInvitationToken(): string {
  return randomBytes(32).toString('base64url')
}

/** Returns the SHA-256 of a token; undefined: the text is no token. 256 random bits need no salt and no stretching. */
export function hashOfToken(token: string): Buffer | undefined {
  return /^[A-Za-z0-9_-]{43}$/.test(token) ? createHash('sha256').update(token).digest() : undefined
}
