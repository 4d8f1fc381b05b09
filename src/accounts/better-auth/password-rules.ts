import { TenancyError } from '../../core/errors/errors.js'
import { isWellFormed } from '../../core/text.js'

/** Fewest and most characters of a password. */
export const passwordLength = { minimum: 8, maximum: 128 } as const

// Of a text this long, no normal form is made: it cannot be a password any more.
const longestText = 1024

/**
 * A password as it is hashed: without lone surrogates, of which UTF-8 makes one and the same character, in normal form KC, so that two keyboards that write the same character in different ways
 * give the same password; undefined when it cannot be one. Characters are code points (NIST SP 800-63B, 3.1.1.2, for both).
 */
export function readPassword(text: string): string | undefined {
  if (text.length > longestText || text.trim() === '' || !isWellFormed(text)) return undefined
  const password = text.normalize('NFKC')
  const { length } = Array.from(password)
  return length >= passwordLength.minimum && length <= passwordLength.maximum ? password : undefined
}

/** A password that somebody wants to have. @throws {@link TenancyError} TENANCY_ACCOUNTS_PASSWORD_INVALID */
export function readNewPassword(text: string): string {
  const password = readPassword(text)
  if (password !== undefined) return password
  const { minimum, maximum } = passwordLength
  throw new TenancyError(
    'TENANCY_ACCOUNTS_PASSWORD_INVALID',
    `A password has ${minimum} to ${maximum} characters, not all of them blank, none of them half of a surrogate pair`,
  )
}
