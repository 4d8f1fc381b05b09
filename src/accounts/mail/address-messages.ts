import type { Mail } from '../../core/accounts/accounts.js'
import { compose, composeNotice, type MailFacts, type NamedMailFacts } from './messages.js'

/** The facts of a mail without a link. */
export interface NoticeFacts {
  readonly to: string
  /** The host of the service. */
  readonly site: string
}

/** Asks the mailbox of a new address for its consent. @throws {@link TenancyError} TENANCY_ACCOUNTS_EMAIL_INVALID */
export function confirmNewAddressMail(facts: MailFacts): Mail {
  return compose(
    { ...facts, name: '' },
    {
      subject: 'Confirm your new e-mail address',
      before: (site) =>
        `Somebody, hopefully you, wants to use this address for an account at ${site}. Confirm it here:`,
      action: 'Confirm the address',
      after: 'The link works for a day. If it was not you, ignore this mail: nothing changes without it.',
    },
  )
}

/** Asks the mailbox of the present address for its consent, with a link to stop the change. */
export function confirmOldAddressMail({
  address,
  stopLink,
  ...facts
}: NamedMailFacts & { readonly address: string; readonly stopLink: string }): Mail {
  return compose(facts, {
    subject: 'Your e-mail address is to be changed',
    before: (site) =>
      `Somebody, hopefully you, gave your password at ${site} and asked to change the address of your account to ${masked(address)}. The address changes when both mailboxes have agreed. To agree:`,
    action: 'Agree to the change',
    after: 'If it was not you, stop the change, and set another password, as somebody knows yours:',
    second: { action: 'Stop the change', link: stopLink },
  })
}

/** Tells the owner of an address that somebody wanted it for another account. */
export function addressInUseMail({ to, site }: NoticeFacts): Mail {
  return composeNotice(to, {
    subject: 'Your e-mail address was named for another account',
    text: `Somebody, perhaps you, asked at ${site} to use this address for another account. It already has an account, so nothing changes. If it was not you, ignore this mail.`,
  })
}

/** Tells the old mailbox that the address has changed. */
export function addressChangedMail({ to, site, address }: NoticeFacts & { readonly address: string }): Mail {
  return composeNotice(to, {
    subject: 'Your e-mail address was changed',
    text: `The account at ${site} that had this address has the address ${masked(address)} now. Both mailboxes have agreed. Log in with the new address. If it was not you, write to the people who run ${site}.`,
  })
}

/** Whoever asked knows the address; whoever else reads this mail need not. A mail program makes no link of it. */
function masked(address: string): string {
  const [first = ''] = address
  return `${first}…${address.slice(address.lastIndexOf('@'))}`
}
