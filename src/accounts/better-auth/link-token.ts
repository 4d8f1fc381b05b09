import { createHash, randomBytes } from 'node:crypto'

/** Creates a token of 256 random bits as base64url. */
export function createLinkToken(): string {
  return randomBytes(32).toString('base64url')
}

/** Tells whether a text can be a token. The catalog is not asked about any other text. */
export function isLinkToken(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text)
}

/** Hashes a token with its purpose, for storage: SHA-256 in base64url. */
export function hashLinkToken(purpose: string, token: string): string {
  return hashLinkIdentifier(`${purpose}:${token}`)
}

/** Hashes the identifier under which the library stores a link. */
export function hashLinkIdentifier(identifier: string): string {
  return createHash('sha256').update(identifier).digest('base64url')
}
