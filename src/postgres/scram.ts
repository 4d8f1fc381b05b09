import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'

/** What a SCRAM-SHA-256 password comes down to. */
export interface ScramKeys {
  readonly clientKey: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/**
 * The keys of a password (RFC 5802, section 3; RFC 7677), made at once: `iterations` in the thousands hold up the process.
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
