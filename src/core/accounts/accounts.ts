import type { Config } from '../config/config.js'
import type { Logger } from '../logger.js'
import type { User } from '../model.js'
import type { IssuedToken } from '../identity/signing-keys.js'
import type { SqlPool } from '../sql-client.js'

/** A mail to one person, as plain text and as HTML that says the same. */
export interface Mail {
  readonly to: string
  readonly subject: string
  readonly text: string
  /** Everything that comes from users is escaped. */
  readonly html: string
}

/** Sends mails. */
export interface MailSender {
  /** @throws TENANCY_ACCOUNTS_MAIL_FAILED */
  send(mail: Mail): Promise<void>
  close(): Promise<void>
}

/** Who registers, as a stranger may have written it: nothing of it counts before the address is confirmed. */
export interface Registration {
  readonly email: string
  /** The one that will be given again with the confirmation; only then the name of the registration counts. */
  readonly password?: string | undefined
  readonly name?: string | undefined
}

/** Confirms an address: by the token of the link that was sent to it. */
export interface Confirmation {
  readonly token: string
  /** The password of the account from now on, whatever was registered. */
  readonly password: string
  /** Default: the one of the registration, if it came with the same password. */
  readonly name?: string | undefined
}

/** What users may change about themselves. Left out: stays as it is. */
export interface ProfileChange {
  readonly name?: string | undefined
  /** An http(s) address; null removes it. */
  readonly image?: string | null | undefined
}

/**
 * Credentials of the catalog's users: who keeps passwords and sends the links. No method tells by its answer, its errors
 * or its time whether an address has an account, except to those who know its password or hold a link sent to it. A
 * provider limits how many mails it sends to one address; it never refuses the request instead.
 *
 * Every method throws TENANCY_CATALOG_UNAVAILABLE when the catalog does not answer.
 */
export interface AccountProvider {
  /**
   * Sends a link to confirm the address. There is no user before that, and no password: any number of registrations of one
   * address, whoever sends them, leave its owner free to register, and any of their links will do. The owner of an address
   * that has an account is told by mail, unless they are disabled; nothing else changes.
   * @throws TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_ACCOUNTS_PASSWORD_INVALID
   */
  register(registration: Registration): Promise<void>
  /**
   * Uses up the token of a link, makes the user and sets the password; the user's id. Of a user who was there and whose
   * address nobody had proven, every password, login and identity from before ends.
   * @throws TENANCY_ACCOUNTS_LINK_INVALID, TENANCY_ACCOUNTS_PASSWORD_INVALID (the link stays good)
   */
  verifyEmail(confirmation: Confirmation): Promise<string>
  /** Sends a link again, to an address that was registered or has a user who is not verified and not disabled. */
  resendVerification(email: string): Promise<void>
  /**
   * The id of the user with this address and password.
   * @throws TENANCY_ACCOUNTS_CREDENTIALS_INVALID: also for users that are disabled or not verified
   */
  checkPassword(email: string, password: string): Promise<string>
  /**
   * Sends a link to set a new password, to an address that has an account, not disabled. To one that was only registered:
   * the link to confirm it.
   */
  requestPasswordReset(email: string): Promise<void>
  /**
   * Uses up the token of a reset link and sets the password; ends every login of the user, and every other reset link.
   * The address counts as verified then: the link was sent to it. If it did not before, identities from before end, too.
   * Answers the user's id.
   * @throws TENANCY_ACCOUNTS_LINK_INVALID, TENANCY_ACCOUNTS_PASSWORD_INVALID (the link stays good)
   */
  resetPassword(token: string, password: string): Promise<string>
  /** Ends every login of the user. @throws TENANCY_ACCOUNTS_CREDENTIALS_INVALID, TENANCY_ACCOUNTS_PASSWORD_INVALID */
  changePassword(userId: string, current: string, next: string): Promise<void>
  /** @throws TENANCY_USER_NOT_FOUND, TENANCY_REQUEST_INVALID (the image) */
  updateProfile(userId: string, change: ProfileChange): Promise<User>
}

/** An access token to issue for a user who has logged in. */
export interface LoginTokenInput {
  /** Id of the user. */
  readonly user: string
  /** Whether the token continues a login that is in the audit log already. Default: false. */
  readonly isRefresh?: boolean | undefined
}

/** What accounts need of an open installation. */
export interface AccountsHost {
  readonly config: Config
  readonly logger: Logger
  readonly catalog: SqlPool
  /** A key for one purpose, derived from the master secret: 32 bytes. */
  deriveKey(purpose: string): Buffer
  /**
   * Signs an access token. Leaves an entry in the audit log, unless `isRefresh`.
   * @throws TENANCY_USER_NOT_FOUND
   */
  issueAccessToken(input: LoginTokenInput): Promise<IssuedToken>
  /**
   * The user behind an `Authorization` header, checked as on any request.
   * @throws TENANCY_AUTH_REQUIRED, TENANCY_AUTH_TOKEN_INVALID, TENANCY_AUTH_USER_REFUSED, TENANCY_AUTH_TOKEN_BOUND
   */
  authenticate(authorization: string | undefined): Promise<User>
  /** Makes this process read the user again before the next request is answered. */
  forgetUser(id: string): void
  /** Runs when the tenancy closes, before the catalog does. */
  onClose(close: () => Promise<void>): void
}
