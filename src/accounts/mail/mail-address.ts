import { TenancyError } from '../../core/errors/errors.js'

// One address as RFC 5321 writes it without quotes (RFC 6531 adds characters beyond ASCII). Quotes, commas, semicolons, brackets
// and spaces are refused: a mail library could read them as a display name, a comment or a second recipient.
const plainAddress = /^[^\s\p{Cc}\p{Cs}@,;:<>()[\]"\\]{1,64}@[^\s\p{Cc}\p{Cs}@,;:<>()[\]"\\]{1,255}$/u

/**
 * Returns the address unchanged if it names exactly one mailbox.
 *
 * @throws {@link TenancyError} TENANCY_ACCOUNTS_EMAIL_INVALID: line breaks, several addresses, quoted forms
 */
export function mailAddress(text: string): string {
  if (plainAddress.test(text)) return text
  throw new TenancyError('TENANCY_ACCOUNTS_EMAIL_INVALID', `No mail can be sent to ${JSON.stringify(text)}`)
}
