import { createCipheriv, createDecipheriv, createPrivateKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto'
import { TenancyError } from '../../core/errors/errors.js'

/** Encrypts private keys for storage and decrypts them. */
export interface KeySeal {
  /** `label` names the key; a sealed key opens under the same label only. */
  seal(privateKey: KeyObject, label: string): Buffer
  /** @throws {@link TenancyError} TENANCY_CONFIG_SECRET_MISMATCH: another secret, another label, or altered bytes */
  open(sealed: Uint8Array, label: string): KeyObject
}

const version = 1
const ivLength = 12
const tagLength = 16

/**
 * Creates a seal: AES-256-GCM (NIST SP 800-38D) with a key derived from the master secret (HKDF, RFC 5869).
 * Format: version, IV, tag, encrypted PKCS #8.
 * @param secret TENANT_SECRET, 32 bytes
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: the secret is too short
 */
export function createKeySeal(secret: Uint8Array): KeySeal {
  if (secret.byteLength < 32) {
    throw new TenancyError('TENANCY_CONFIG_INVALID', `TENANT_SECRET has ${secret.byteLength} bytes: 32 are needed`)
  }
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'tenants2fast signing keys v1', 32))
  return {
    seal(privateKey, label) {
      const iv = randomBytes(ivLength)
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(label))
      const plain = privateKey.export({ type: 'pkcs8', format: 'der' })
      const encrypted = Buffer.concat([cipher.update(plain), cipher.final()])
      plain.fill(0)
      return Buffer.concat([Buffer.of(version), iv, cipher.getAuthTag(), encrypted])
    },
    open(sealed, label) {
      try {
        const bytes = Buffer.from(sealed)
        if (bytes[0] !== version) throw new RangeError(`Unknown version ${bytes[0]}`)
        const ciphertextAt = 1 + ivLength + tagLength
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(1, 1 + ivLength), {
          authTagLength: tagLength,
        })
          .setAAD(Buffer.from(label))
          .setAuthTag(bytes.subarray(1 + ivLength, ciphertextAt))
        const plain = Buffer.concat([decipher.update(bytes.subarray(ciphertextAt)), decipher.final()])
        return createPrivateKey({ key: plain, type: 'pkcs8', format: 'der' })
      } catch (cause) {
        throw new TenancyError(
          'TENANCY_CONFIG_SECRET_MISMATCH',
          `Signing key ${label} does not open with this TENANT_SECRET: start with the secret the catalog was created with`,
          { cause },
        )
      }
    },
  }
}
