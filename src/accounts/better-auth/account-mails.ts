import type { AccountsHost, Mail, MailSender } from '../../core/accounts/accounts.js'
import type { User } from '../../core/model.js'
import type { MailKind } from '../limits/attempt-limits.js'
import { addressTakenMail, type NamedMailFacts, passwordResetMail, verificationMail } from '../mail/messages.js'
import type { Credentials } from './credentials.js'
import { linkTo, type ResetLinks } from './links.js'
import type { RegistrationFacts, Registrations } from './registrations.js'

/** Sends the mails that requests for an address cause. Disabled users get none. */
export interface AccountMails {
  /** Sends a link to confirm the address; if the address has an account, a link into that. */
  sendRegistration(address: string, token: string): Promise<void>
  /** Sends another confirmation link, if the address was registered or has a user who is not verified. */
  resendConfirmation(address: string): Promise<void>
  /** Sends a link to set a new password; if the address was only registered, to confirm it. */
  sendPasswordReset(address: string): Promise<void>
}

/** The parts that {@link createAccountMails} needs. */
export interface AccountMailsParts {
  readonly host: Pick<AccountsHost, 'config'>
  readonly mail: Pick<MailSender, 'send'>
  /** Counts a mail just before it is sent, so that nobody can use up the limit of an address that gets no mails. */
  readonly mayMail?: ((kind: MailKind, address: string) => Promise<boolean>) | undefined
  readonly credentials: Pick<Credentials, 'findUserByEmail'>
  readonly links: Pick<ResetLinks, 'create'>
  readonly registrations: Pick<Registrations, 'begin' | 'findNewest' | 'drop'>
}

const noFacts: RegistrationFacts = { name: '', password: undefined }

/** Creates the mails of accounts. Whoever uses up the limit of somebody else's address has sent its owner links that work. */
export function createAccountMails({
  host,
  mail,
  credentials,
  links,
  registrations,
  ...parts
}: AccountMailsParts): AccountMails {
  const { mayMail = async () => true } = parts
  const sendConfirmation = (address: string, token: string) =>
    mail.send(verificationMail({ to: address, link: linkTo(host.config, 'verify-email', token) }))

  async function sendReset(kind: MailKind, user: User, compose: (facts: NamedMailFacts) => Mail): Promise<void> {
    if (!(await mayMail(kind, user.email))) return
    const link = linkTo(host.config, 'password/reset', await links.create(user))
    // A stranger may have written the name before the address was proven.
    await mail.send(compose({ to: user.email, name: user.emailVerified ? user.name : '', link }))
  }

  async function confirmAgain(address: string, user: User | undefined): Promise<void> {
    if (user !== undefined && (user.disabledAt !== null || user.emailVerified)) return
    const facts = await registrations.findNewest(address)
    if (facts === undefined && user === undefined) return
    if (!(await mayMail('resend', address))) return
    await sendConfirmation(address, await registrations.begin(address, facts ?? noFacts))
  }

  return {
    async sendRegistration(address, token) {
      const user = await credentials.findUserByEmail(address)
      const isFree = user === undefined || (user.disabledAt === null && !user.emailVerified)
      if (isFree && (await mayMail('register', address))) return sendConfirmation(address, token)
      await registrations.drop(token)
      if (user?.emailVerified && user.disabledAt === null) await sendReset('register', user, addressTakenMail)
    },

    async resendConfirmation(address) {
      await confirmAgain(address, await credentials.findUserByEmail(address))
    },

    async sendPasswordReset(address) {
      const user = await credentials.findUserByEmail(address)
      if (user === undefined) return confirmAgain(address, user)
      if (user.disabledAt === null) await sendReset('reset', user, passwordResetMail)
    },
  }
}
