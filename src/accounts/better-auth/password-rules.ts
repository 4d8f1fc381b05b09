import { TenancyError } from '../../core/errors/errors.js'
import { isWellFormed } from '../../core/text.js'

/** Fewest and most characters of a password. */
export const passwordLength = { minimum: 8, maximum: 128 } as const

// A longer text is not normalised: it cannot be a password.
const longestText = 1024

/**
 * Reads a password as it is hashed; undefined when the text cannot be one. Lone surrogates are refused, because UTF-8 turns all
 * of them into one character. The text is brought to normal form KC, so that keyboards that write a character in different ways
 * give the same password. Characters are code points (NIST SP 800-63B, 3.1.1.2, for both).
 */
export function readPassword(text: string): string | undefined {
  if (text.length > longestText || text.trim() === '' || !isWellFormed(text)) return undefined
  const password = text.normalize('NFKC')
  const { length } = Array.from(password)
  return length >= passwordLength.minimum && length <= passwordLength.maximum ? password : undefined
}

/** Reads a password that a user chooses. @throws {@link TenancyError} TENANCY_ACCOUNTS_PASSWORD_INVALID */
export function readNewPassword(text: string): string {
  const password = readPassword(text)
  if (password !== undefined) return password
  const { minimum, maximum } = passwordLength
  throw new TenancyError(
    'TENANCY_ACCOUNTS_PASSWORD_INVALID',
    `A password has ${minimum} to ${maximum} characters, not all of them blank, none of them half of a surrogate pair`,
  )
}
