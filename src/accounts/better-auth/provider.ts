import { randomUUID } from 'node:crypto'
import type { AccountProvider, AccountsHost, Mail, MailSender } from '../../core/accounts.js'
import { normalizeEmail } from '../../core/email.js'
import { TenancyError } from '../../core/errors.js'
import type { User } from '../../core/model.js'
import { createBackgroundWork } from '../background-work.js'
import { addressTakenMail, type MailFacts, passwordResetMail, verificationMail } from '../mail/messages.js'
import { createArgon2Hasher, type PasswordHasher } from './argon2.js'
import { answered } from './catalog-answer.js'
import { actingAs } from './catalog-connections.js'
import { createCredentials } from './credentials.js'
import { openEngine } from './engine.js'
import { createLinks, type LinkKind, resetLink, verificationLink } from './links.js'
import { readNewPassword, readPassword } from './password-rules.js'
import { cleanName, readImage } from './profile-rules.js'

/** Options of {@link createBetterAuthProvider}. */
export interface BetterAuthProviderOptions {
  readonly host: Pick<AccountsHost, 'config' | 'logger' | 'catalog' | 'deriveKey' | 'forgetUser' | 'onClose'>
  /** To be closed after what the provider gives to `host.onClose` has run: mails may still be on their way. */
  readonly mail: Pick<MailSender, 'send'>
  /** Default: argon2id. */
  readonly passwords?: PasswordHasher
}

/**
 * Accounts on `better-auth` (an optional peer, as is `@node-rs/argon2`). From the library come the models and their
 * transactions, links that can be used once, and the reset of a password. Some of its endpoints are not used (1.7.25):
 *
 * - sign-in starts a session and stores the session's token readable;
 * - sign-up holds a connection of the catalog, in a transaction, for as long as argon2 takes; of two at once for one
 *   address, one fails; it takes addresses in ASCII only;
 * - the token that verifies an address is signed and not stored: it cannot be used up;
 * - resending takes half a second, or longer when sending does, which tells who has an account;
 * - changing a password takes a session.
 *
 * Mails go out after the answer, so that its time tells nothing about an address; the closing tenancy waits for them.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export async function createBetterAuthProvider(options: BetterAuthProviderOptions): Promise<AccountProvider> {
  const { host, mail, passwords = await createArgon2Hasher() } = options
  const engine = await openEngine({ host, passwords })
  const credentials = createCredentials(engine)
  const links = createLinks(engine, host.config)
  // Whoever has no password is compared with this one, which is as much work.
  const nobodysHash = await passwords.hash(randomUUID())
  const background = createBackgroundWork(host.logger, 'A mail of accounts was not sent')
  host.onClose(() => background.settle())

  /** Nothing goes to disabled users: no link lets them in. */
  function sendLink(user: User, kind: LinkKind, compose: (facts: MailFacts) => Mail): void {
    if (user.disabledAt !== null) return
    background.start(
      async () => {
        const link = await links.create(kind, user)
        await mail.send(compose({ to: user.email, name: user.name, link }))
      },
      { link: kind.purpose, userId: user.id },
    )
  }

  /** To the owner of an address that somebody registers again: a way in, whichever of the two set the password. */
  const sendAddressTaken = (user: User) => sendLink(user, resetLink, addressTakenMail)

  /** Compares with the password of a user, or does the work of it where there is none; the stored hash if it is right. */
  async function matchPassword(user: User | undefined, text: string): Promise<string | undefined> {
    const password = readPassword(text)
    // Says something about the text and nothing about the user.
    if (password === undefined) return undefined
    const stored = await credentials.findPassword(user)
    const isRight = await passwords.verify(stored ?? nobodysHash, password)
    return isRight && user?.disabledAt === null && user.emailVerified ? stored : undefined
  }

  return {
    async register({ email, password, name }) {
      const address = normalizeEmail(email)
      if (address === undefined) {
        throw new TenancyError('TENANCY_ACCOUNTS_EMAIL_INVALID', `${JSON.stringify(email)} is no e-mail address`)
      }
      const newPassword = readNewPassword(password)
      const owner = await credentials.findUserByEmail(address)
      const hash = await passwords.hash(newPassword)
      if (owner) {
        await credentials.pretendToCreateUser(owner)
        sendAddressTaken(owner)
        return
      }
      const user = await credentials.createUser(address, cleanName(name), hash)
      if (user) {
        sendLink(user, verificationLink, verificationMail)
        return
      }
      const winner = await credentials.findUserByEmail(address)
      if (winner) sendAddressTaken(winner)
    },

    async verifyEmail(token) {
      const userId = await links.use(verificationLink, token)
      const user = userId === undefined ? undefined : await credentials.updateUser(userId, { emailVerified: true })
      if (!user) throw invalidLink()
      host.forgetUser(user.id)
      return user.id
    },

    async resendVerification(email) {
      const address = normalizeEmail(email)
      const user = address === undefined ? undefined : await credentials.findUserByEmail(address)
      if (user && !user.emailVerified) sendLink(user, verificationLink, verificationMail)
    },

    async checkPassword(email, password) {
      const address = normalizeEmail(email)
      const user = address === undefined ? undefined : await credentials.findUserByEmail(address)
      const hash = await matchPassword(user, password)
      if (!user || hash === undefined) throw new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID')
      return user.id
    },

    async requestPasswordReset(email) {
      const address = normalizeEmail(email)
      const user = address === undefined ? undefined : await credentials.findUserByEmail(address)
      if (user) sendLink(user, resetLink, passwordResetMail)
    },

    async resetPassword(token, password) {
      const newPassword = readNewPassword(password)
      const userId = await links.find(resetLink, token)
      const isReset =
        userId !== undefined && (await answered(actingAs(userId, () => engine.resetPassword(token, newPassword))))
      if (!isReset) throw invalidLink()
      await credentials.updateUser(userId, { emailVerified: true })
      host.forgetUser(userId)
      return userId
    },

    async changePassword(userId, current, next) {
      const newPassword = readNewPassword(next)
      const user = await credentials.findUserById(userId)
      const hash = await matchPassword(user, current)
      if (!user || hash === undefined) throw new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID')
      // Compared once more in the write: of a change and a reset at once, the reset stays.
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

function invalidLink(): TenancyError {
  return new TenancyError('TENANCY_ACCOUNTS_LINK_INVALID')
}
