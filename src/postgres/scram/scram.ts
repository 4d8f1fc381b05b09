import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'

/** The keys that SCRAM-SHA-256 makes of a password. */
export interface ScramKeys {
  readonly clientKey: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/**
 * Derives the keys of a password (RFC 5802, section 3; RFC 7677) synchronously: thousands of `iterations` block the process.
 *
 * @param password as SASLprep leaves it
 */
export function scramKeys(password: string, salt: Buffer, iterations: number): ScramKeys {
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  const clientKey = hmacSha256(salted, 'Client Key')
  const storedKey = createHash('sha256').update(clientKey).digest()
  return { clientKey, storedKey, serverKey: hmacSha256(salted, 'Server Key') }
}

export function hmacSha256(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
