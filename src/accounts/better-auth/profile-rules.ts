import { TenancyError } from '../../core/errors/errors.js'
import { longestImage, normalizeImage } from '../../core/identity/image.js'

const longestName = 200

/** Cleans a user's name for storage: removes control characters and cuts it to 200 characters. */
export function cleanName(text: string): string {
  return Array.from(text.replaceAll(/[\p{Cc}\p{Cs}]/gu, '').trim())
    .slice(0, longestName)
    .join('')
}

/**
 * Reads the address of a picture and writes it as a browser would. Applications show it to others, so only http(s) is allowed.
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
export function readImage(text: string): string {
  const address = normalizeImage(text)
  if (address !== undefined) return address
  const detail = `must be an http(s) address of at most ${longestImage} characters`
  throw new TenancyError('TENANCY_REQUEST_INVALID', `image ${detail}`, {
    details: { errors: [{ pointer: '#/image', detail }] },
  })
}
