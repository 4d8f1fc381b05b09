/** Longest address of a picture, in characters. */
export const longestImage = 2048

/**
 * Reads the address of a user's picture and writes it as a browser would. Applications show it to others, so only http(s) is
 * allowed. Undefined for any other text.
 */
export function normalizeImage(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:'
  return url && isWeb && url.href.length <= longestImage ? url.href : undefined
}
