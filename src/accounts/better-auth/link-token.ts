import { createHash, randomBytes } from 'node:crypto'

/** 256 random bits as base64url. */
export function createLinkToken(): string {
  return randomBytes(32).toString('base64url')
}

/** Whether text can be a token; for any other the catalog is not even asked. */
export function isLinkToken(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text)
}

/** A token as it is stored, with what it is for: SHA-256 in base64url. */
export function hashLinkToken(purpose: string, token: string): string {
  return hashLinkIdentifier(`${purpose}:${token}`)
}

/** What the library files a link under, as it is stored. */
export function hashLinkIdentifier(identifier: string): string {
  return createHash('sha256').update(identifier).digest('base64url')
}
