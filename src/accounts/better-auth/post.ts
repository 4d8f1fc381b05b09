import type { AccountsHost, Mail, MailSender } from '../../core/accounts/accounts.js'
import type { User } from '../../core/model.js'
import type { MailKind } from '../limits/attempt-limits.js'
import { addressTakenMail, type NamedMailFacts, passwordResetMail, verificationMail } from '../mail/messages.js'
import type { Credentials } from './credentials.js'
import { linkTo, type ResetLinks } from './links.js'
import type { RegistrationFacts, Registrations } from './registrations.js'

/** What is sent when somebody asked for something in the name of an address. Nothing goes to disabled users. */
export interface Post {
  /** To confirm the address, or, if it has an account, a way into that. */
  registered(address: string, token: string): Promise<void>
  /** To confirm the address, if it was registered or has a user who is not verified. */
  confirmationAgain(address: string): Promise<void>
  /** To set a new password; if the address was only registered, to confirm it. */
  passwordForgotten(address: string): Promise<void>
}

/** What {@link createPost} is put together from. */
export interface PostParts {
  readonly host: Pick<AccountsHost, 'config'>
  readonly mail: Pick<MailSender, 'send'>
  /** Mails are counted when they are about to be sent, so that nobody uses up the mails of an address that gets none. */
  readonly mayMail?: ((kind: MailKind, address: string) => Promise<boolean>) | undefined
  readonly credentials: Pick<Credentials, 'findUserByEmail'>
  readonly links: Pick<ResetLinks, 'create'>
  readonly registrations: Pick<Registrations, 'begin' | 'findNewest' | 'drop'>
}

const noFacts: RegistrationFacts = { name: '', password: undefined }

/** The mails of accounts. Who uses up the mails of somebody else's address has had links sent that its owner can use. */
export function createPost({ host, mail, credentials, links, registrations, ...parts }: PostParts): Post {
  const { mayMail = async () => true } = parts
  const sendConfirmation = (address: string, token: string) =>
    mail.send(verificationMail({ to: address, link: linkTo(host.config, 'verify-email', token) }))

  async function sendReset(kind: MailKind, user: User, compose: (facts: NamedMailFacts) => Mail): Promise<void> {
    if (!(await mayMail(kind, user.email))) return
    const link = linkTo(host.config, 'password/reset', await links.create(user))
    // A name that was there before the address was proven may be a stranger's text.
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
    async registered(address, token) {
      const user = await credentials.findUserByEmail(address)
      const isFree = user === undefined || (user.disabledAt === null && !user.emailVerified)
      if (isFree && (await mayMail('register', address))) return sendConfirmation(address, token)
      await registrations.drop(token)
      if (user?.emailVerified && user.disabledAt === null) await sendReset('register', user, addressTakenMail)
    },

    async confirmationAgain(address) {
      await confirmAgain(address, await credentials.findUserByEmail(address))
    },

    async passwordForgotten(address) {
      const user = await credentials.findUserByEmail(address)
      if (user === undefined) return confirmAgain(address, user)
      if (user.disabledAt === null) await sendReset('reset', user, passwordResetMail)
    },
  }
}
