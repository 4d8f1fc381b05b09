/**
 * An e-mail address in lower case; undefined when it is none. Letters beyond ASCII are left alone: lower-casing
 * some of them (the Kelvin sign) gives an ASCII letter, and so somebody else's address.
 */
export function normalizeEmail(text: string): string | undefined {
  if (typeof text !== 'string') return undefined
  const address = text.trim()
  if (address.length > 320 || !/^[^\s@\p{Cc}\p{Cs}]{1,64}@[^\s@\p{Cc}\p{Cs}]{1,255}$/u.test(address)) return undefined
  return address.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
}
