import { domainToASCII } from 'node:url'

/**
 * The domain of the placeholder addresses of users who have none (RFC 2606). Only the catalog makes addresses in it:
 * claiming one would be claiming its user.
 */
export const placeholderDomain = 'identity.invalid'

/**
 * Writes an e-mail address in its one spelling: ASCII letters in lower case, the domain in ASCII (`xn--…`). Undefined for
 * any other text, and for a placeholder. Letters beyond ASCII before the `@` stay as they are: some of them (the Kelvin
 * sign) become an ASCII letter in lower case, and so somebody else's address.
 */
export function normalizeEmail(text: string): string | undefined {
  if (typeof text !== 'string') return undefined
  const address = text.trim()
  if (address.length > 320 || !/^[^\s@\p{Cc}\p{Cs}]{1,64}@[^\s@\p{Cc}\p{Cs}]{1,255}$/u.test(address)) return undefined
  const at = address.indexOf('@')
  const domain = normalizeDomain(lowerAscii(address.slice(at + 1)))
  if (domain === undefined || domain === placeholderDomain) return undefined
  return `${lowerAscii(address.slice(0, at))}@${domain}`
}

/** Undefined: no domain, or one with an empty label, such as the one after a last dot, which names the same mailbox. */
function normalizeDomain(domain: string): string | undefined {
  const ascii = /^\p{ASCII}*$/u.test(domain) ? domain : asciiOf(domain)
  return ascii.length > 255 || ascii.split('.').includes('') ? undefined : ascii
}

/** Mail is routed by UTS 46: other dots, wide letters and invisible characters are spellings of the same name. */
function asciiOf(domain: string): string {
  // Characters that mean something in a URL, such as `%2e`, are no spelling of a name.
  return /[^\w.\-\P{ASCII}]/u.test(domain) ? '' : domainToASCII(domain)
}

function lowerAscii(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
}
