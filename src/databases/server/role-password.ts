import { hkdfSync, randomBytes } from 'node:crypto'
import { scramKeys } from '../../postgres/scram/scram.js'

/**
 * The password of a tenant database's login role: HKDF-SHA-256 (RFC 5869) of the master secret and the database id,
 * 256 bits as base64url. Stored nowhere.
 *
 * @param secret the master secret, at least 32 bytes
 */
export function deriveRolePassword(secret: Buffer, databaseId: string): string {
  return derive(secret, `tenants2fast role password ${databaseId}`).toString('base64url')
}

/** The password of a tenant database's owner login; as {@link deriveRolePassword}, and another one. */
export function deriveOwnerPassword(secret: Buffer, databaseId: string): string {
  return derive(secret, `tenants2fast owner password ${databaseId}`).toString('base64url')
}

/** The password of the role that reads the catalog for the application. */
export function deriveReaderPassword(secret: Buffer, installationId: string): string {
  return derive(secret, `tenants2fast catalog reader ${installationId}`).toString('base64url')
}

/** Identifies the master secret of a catalog without revealing it: 256 derived bits as base64url. */
export function secretCheck(secret: Buffer): string {
  return derive(secret, 'tenants2fast secret check').toString('base64url')
}

function derive(secret: Buffer, purpose: string): Buffer {
  if (secret.length < 32) throw new RangeError('The master secret has at least 32 bytes')
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, 32))
}

// Iterations make guessing slow, and 256 random bits cannot be guessed; every connect of every tenant pays for them on
// client and server. PostgreSQL 15 and 18 and pg accept 1, the least that RFC 5802 can express.
const scramIterations = 1

/**
 * The SCRAM-SHA-256 verifier (RFC 5802, RFC 7677) that PostgreSQL stores instead of a password: sent in its place, the
 * password itself never reaches the server or its log.
 *
 * @param password ASCII only, so that SASLprep leaves it as it is
 */
export function scramVerifier(
  password: string,
  options: { readonly iterations?: number; readonly salt?: Buffer } = {},
): string {
  const { iterations = scramIterations, salt = randomBytes(16) } = options
  if (!/^[\x21-\x7e]+$/.test(password)) throw new RangeError('The password is printable ASCII')
  const { storedKey, serverKey } = scramKeys(password, salt, iterations)
  const keys = `${storedKey.toString('base64')}:${serverKey.toString('base64')}`
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${keys}`
}

/** Whether a verifier, as PostgreSQL stores it, is one of this password. */
export function isVerifierOf(verifier: string, password: string): boolean {
  const [, iterations, salt] = /^SCRAM-SHA-256\$(\d{1,4}):([A-Za-z0-9+/=]{1,200})\$/.exec(verifier) ?? []
  // At most four digits: a tenant could choose iterations that cost minutes. Ours has one, PostgreSQL's default is 4096.
  if (iterations === undefined || salt === undefined || iterations === '0') return false
  return scramVerifier(password, { iterations: Number(iterations), salt: Buffer.from(salt, 'base64') }) === verifier
}
