import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { TenancyError } from '../../core/errors/errors.js'

/** Encrypts secrets in settings, each for one path of one tenant. */
export interface SettingsSeal {
  seal(value: unknown, tenantId: string, path: string): string
  /** @throws {@link TenancyError} TENANCY_CONFIG_SECRET_MISMATCH: another secret, tenant or path, or altered bytes */
  open(sealed: string, tenantId: string, path: string): unknown
}

const version = 1
const ivLength = 12
const tagLength = 16
const textAt = 1 + ivLength + tagLength

/**
 * Creates a seal: AES-256-GCM (NIST SP 800-38D) under a key derived from the master secret (HKDF, RFC 5869). Format: version,
 * IV, tag, encrypted JSON, in base64url.
 * @param secret TENANT_SECRET, 32 bytes
 */
export function createSettingsSeal(secret: Uint8Array): SettingsSeal {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'tenants2fast tenant settings v1', 32))
  return {
    seal(value, tenantId, path) {
      const iv = randomBytes(ivLength)
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(place(tenantId, path))
      const encrypted = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()])
      return Buffer.concat([Buffer.of(version), iv, cipher.getAuthTag(), encrypted]).toString('base64url')
    },
    open(sealed, tenantId, path) {
      try {
        const bytes = Buffer.from(sealed, 'base64url')
        if (bytes[0] !== version) throw new RangeError('unknown version')
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(1, 1 + ivLength), {
          authTagLength: tagLength,
        })
          .setAAD(place(tenantId, path))
          .setAuthTag(bytes.subarray(1 + ivLength, textAt))
        const text = Buffer.concat([decipher.update(bytes.subarray(textAt)), decipher.final()])
        return JSON.parse(text.toString('utf8')) as unknown
      } catch (cause) {
        throw new TenancyError(
          'TENANCY_CONFIG_SECRET_MISMATCH',
          `The setting ${path} of tenant ${tenantId} does not open with this TENANT_SECRET: set it again, or start with the secret that it was sealed with`,
          { cause },
        )
      }
    },
  }
}

/** What a sealed value is bound to. */
function place(tenantId: string, path: string): Buffer {
  return Buffer.from(JSON.stringify([tenantId, path]))
}
