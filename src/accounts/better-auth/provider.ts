import { randomUUID } from 'node:crypto'
import type { AccountProvider, AccountsHost, MailSender } from '../../core/accounts/accounts.js'
import { normalizeEmail } from '../../core/identity/email.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { User } from '../../core/model.js'
import { createBackgroundWork } from '../background-work.js'
import type { MailKind } from '../limits/attempt-limits.js'
import { createArgon2Hasher, type PasswordHasher } from './argon2.js'
import { createAccountMails } from './account-mails.js'
import { answered } from './catalog-answer.js'
import { createCredentials } from './credentials.js'
import { openEngine } from './engine.js'
import { createResetLinks } from './links.js'
import { readNewPassword, readPassword } from './password-rules.js'
import { cleanName, readImage } from './profile-rules.js'
import { createRegistrations } from './registrations.js'

/** Options of {@link createBetterAuthProvider}. */
export interface BetterAuthProviderOptions {
  readonly host: Pick<AccountsHost, 'config' | 'logger' | 'catalog' | 'deriveKey' | 'forgetUser' | 'onClose'>
  /** Close it after the provider's `host.onClose` callback has run: mails may still be on their way. */
  readonly mail: Pick<MailSender, 'send'>
  /**
   * Counts a mail to an address before it is sent. False: there were too many, and it is not sent. Default: no limit.
   */
  readonly mayMail?: ((kind: MailKind, address: string) => Promise<boolean>) | undefined
  /** Default: argon2id. */
  readonly passwords?: PasswordHasher
}

/**
 * Creates the account provider on `better-auth` (an optional peer, as is `@node-rs/argon2`). The library provides the models,
 * their transactions and the storage of reset links. Its endpoints are not used (1.7.25):
 *
 * - sign-up creates a user with a password for an address that nobody has proven, and holds a connection of the catalog in a
 *   transaction while argon2 runs;
 * - a reset sets the password in one transaction and cannot prove the address in the same one;
 * - sign-in starts a session and stores the session's token in readable form;
 * - the token that verifies an address is signed and not stored: it cannot be used up;
 * - resending takes half a second, or longer when sending does, which tells who has an account;
 * - changing a password takes a session.
 *
 * Whether an address has an account is looked up after the answer, and mails are sent then, so that the time of an answer tells
 * nothing. Closing the tenancy waits for them.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export async function createBetterAuthProvider(options: BetterAuthProviderOptions): Promise<AccountProvider> {
  const { host, passwords = await createArgon2Hasher() } = options
  const engine = await openEngine({ host, passwords })
  const credentials = createCredentials(engine)
  const links = createResetLinks(engine, host.catalog)
  const registrations = createRegistrations(host.catalog)
  const mails = createAccountMails({ ...options, credentials, links, registrations })
  // For a user without a password this one is compared, which is the same amount of work.
  const nobodysHash = await passwords.hash(randomUUID())
  const background = createBackgroundWork(host.logger, 'A mail of accounts was not sent')
  host.onClose(() => background.settle())

  /** Runs `task` after the answer. Before the answer it only checks that the catalog answers, for any address. */
  async function afterAnswer(kind: MailKind, email: string, task: (address: string) => Promise<void>): Promise<void> {
    const address = normalizeEmail(email)
    await answered(host.catalog.query('select'))
    if (address !== undefined) background.start(() => task(address), { mail: kind })
  }

  /** Compares a user's password, or does equal work if there is none. Returns the stored hash if the password is right. */
  async function matchPassword(user: User | undefined, text: string): Promise<string | undefined> {
    const password = readPassword(text)
    // An early return here depends on the text only, and tells nothing about the user.
    if (password === undefined) return undefined
    const stored = await credentials.findPassword(user)
    const isRight = await passwords.verify(stored ?? nobodysHash, password)
    return isRight && user?.disabledAt === null && user.emailVerified ? stored : undefined
  }

  return {
    async register({ email, password, name = '' }) {
      const address = normalizeEmail(email)
      if (address === undefined) {
        throw new TenancyError('TENANCY_ACCOUNTS_EMAIL_INVALID', `${JSON.stringify(email)} is no e-mail address`)
      }
      const hash = password === undefined ? undefined : await passwords.hash(readNewPassword(password))
      const token = await registrations.begin(address, { name: cleanName(name), password: hash })
      background.start(() => mails.sendRegistration(address, token), { mail: 'register' })
    },

    async verifyEmail({ token, password, name }) {
      const newPassword = readNewPassword(password)
      const held = await registrations.find(token)
      if (held === undefined) throw invalidLink()
      // Anybody may have registered the address. Only whoever did knows the registration's password.
      const isTheirs = held.password !== undefined && (await passwords.verify(held.password, newPassword))
      const hash = isTheirs && held.password !== undefined ? held.password : await passwords.hash(newPassword)
      const shownName = name === undefined ? (isTheirs ? held.name : undefined) : cleanName(name)
      const userId = await registrations.confirm(token, hash, shownName)
      if (userId === undefined) throw invalidLink()
      host.forgetUser(userId)
      return userId
    },

    resendVerification: (email) => afterAnswer('resend', email, (address) => mails.resendConfirmation(address)),

    async checkPassword(email, password) {
      const address = normalizeEmail(email)
      const user = await credentials.findUserByEmail(address ?? nobodysAddress)
      const hash = await matchPassword(user, password)
      if (!user || hash === undefined) throw new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID')
      return user.id
    },

    requestPasswordReset: (email) => afterAnswer('reset', email, (address) => mails.sendPasswordReset(address)),

    async resetPassword(token, password) {
      const newPassword = readNewPassword(password)
      if ((await links.find(token)) === undefined) throw invalidLink()
      const userId = await links.use(token, await passwords.hash(newPassword))
      if (userId === undefined) throw invalidLink()
      host.forgetUser(userId)
      return userId
    },

    async changePassword(userId, current, next) {
      const newPassword = readNewPassword(next)
      const user = await credentials.findUserById(userId)
      const hash = await matchPassword(user, current)
      if (!user || hash === undefined) throw new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID')
      // The write compares the hash again: of a simultaneous change and reset, the reset stays.
      if (!(await credentials.replacePassword(user.id, hash, await passwords.hash(newPassword)))) {
        throw new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID')
      }
      host.forgetUser(user.id)
    },

    async updateProfile(userId, { name, image }) {
      const change = {
        ...(name !== undefined && { name: cleanName(name) }),
        ...(image !== undefined && { image: image === null ? null : readImage(image) }),
      }
      const isEmpty = Object.keys(change).length === 0
      const user = await (isEmpty ? credentials.findUserById(userId) : credentials.updateUser(userId, change))
      if (!user) throw new TenancyError('TENANCY_USER_NOT_FOUND', `No user ${JSON.stringify(userId)}: check the id`)
      host.forgetUser(user.id)
      return user
    },
  }
}

/** Not an address, so nobody has it. */
const nobodysAddress = 'nobody'

function invalidLink(): TenancyError {
  return new TenancyError('TENANCY_ACCOUNTS_LINK_INVALID')
}
