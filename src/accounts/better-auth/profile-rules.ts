import { TenancyError } from '../../core/errors/errors.js'

const longestName = 200
const longestImage = 2048

/** What a user wants to be called, as it is kept: without control characters, cut to 200 characters. */
export function cleanName(text: string): string {
  return Array.from(text.replaceAll(/[\p{Cc}\p{Cs}]/gu, '').trim())
    .slice(0, longestName)
    .join('')
}

/**
 * The address of a picture, as a browser would write it. Others show it to their users, so that nothing but http(s) will do.
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
export function readImage(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:'
  if (url && isWeb && url.href.length <= longestImage) return url.href
  throw new TenancyError(
    'TENANCY_REQUEST_INVALID',
    `image must be an http(s) address of at most ${longestImage} characters`,
  )
}
