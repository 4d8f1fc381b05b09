import { TenancyError } from '../../core/errors/errors.js'

// One address as RFC 5321 writes it without quotes (RFC 6531 adds what is beyond ASCII). What a mail library could read
// as a display name, a comment or a second recipient is refused: quotes, commas, semicolons, brackets, spaces.
const plainAddress = /^[^\s\p{Cc}\p{Cs}@,;:<>()[\]"\\]{1,64}@[^\s\p{Cc}\p{Cs}@,;:<>()[\]"\\]{1,255}$/u

/**
 * The address a mail goes to, as it is, when it names one mailbox and nothing else.
 *
 * @throws {@link TenancyError} TENANCY_ACCOUNTS_EMAIL_INVALID: line breaks, several addresses, quoted forms
 */
export function mailAddress(text: string): string {
  if (plainAddress.test(text)) return text
  throw new TenancyError('TENANCY_ACCOUNTS_EMAIL_INVALID', `No mail can be sent to ${JSON.stringify(text)}`)
}
