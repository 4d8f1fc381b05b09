import type { Config } from '../config/config.js'
import type { Logger } from '../logger.js'
import type { User } from '../model.js'
import type { IssuedToken } from '../identity/signing-keys.js'
import type { VolatileCounts } from '../shared-counts.js'
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

/** A registration. A stranger may have written it: nothing of it counts before the address is confirmed. */
export interface Registration {
  readonly email: string
  /** The name counts only if the confirmation comes with the same password. */
  readonly password?: string | undefined
  readonly name?: string | undefined
}

/** The confirmation of an address, by the token of the link that was sent to it. */
export interface Confirmation {
  readonly token: string
  /** The password of the account from now on, whatever was registered. */
  readonly password: string
  /** Default: the name of the registration, if that came with the same password. */
  readonly name?: string | undefined
}

/** Changes that users may make to their own profiles. A field that is left out stays as it is. */
export interface ProfileChange {
  readonly name?: string | undefined
  /** An http(s) address; null removes it. */
  readonly image?: string | null | undefined
}

/**
 * Keeps the passwords of the catalog's users and sends them links. No method tells by its answer, its errors or its time
 * whether an address has an account, except to callers who know the password or hold a link that was sent there. A
 * provider limits the mails that it sends to one address, and never refuses the request instead.
 *
 * Every method throws TENANCY_CATALOG_UNAVAILABLE when the catalog does not answer.
 */
export interface AccountProvider {
  /**
   * Sends a link to confirm the address. Until then there is no user and no password: strangers may register an address any
   * number of times, its owner can still register, and any of the links works. If the address has an account, its owner is
   * told by mail, unless they are disabled; nothing else changes.
   * @throws TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_ACCOUNTS_PASSWORD_INVALID
   */
  register(registration: Registration): Promise<void>
  /**
   * Uses up the token of a link, creates the user, sets the password and returns the user's id. If the user existed and
   * the address was not proven before, every earlier password, login and identity ends.
   * @throws TENANCY_ACCOUNTS_LINK_INVALID, TENANCY_ACCOUNTS_PASSWORD_INVALID (the link stays good)
   */
  verifyEmail(confirmation: Confirmation): Promise<string>
  /** Sends a link again, to an address that was registered or has a user who is not verified and not disabled. */
  resendVerification(email: string): Promise<void>
  /**
   * Returns the id of the user with this address and password.
   * @throws TENANCY_ACCOUNTS_CREDENTIALS_INVALID: also for users that are disabled or not verified
   */
  checkPassword(email: string, password: string): Promise<string>
  /**
   * Sends a link to set a new password to an address whose account is not disabled. An address that was only registered gets
   * the link to confirm it.
   */
  requestPasswordReset(email: string): Promise<void>
  /**
   * Uses up the token of a reset link, sets the password and returns the user's id. Ends every login of the user, and every
   * other reset link. The address counts as verified from then on, because the link was sent to it. If it did not before,
   * earlier identities end, too.
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
  /** Id of the tenant that the token is bound to. Default: none. */
  readonly tenant?: string | undefined
  /** Id of the session that the token belongs to, for its claim `sid`. Default: none. */
  readonly session?: string | undefined
}

/** The parts of an open installation that accounts need. */
export interface AccountsHost {
  readonly config: Config
  readonly logger: Logger
  readonly catalog: SqlPool
  /** Derives a key for one purpose from the master secret: 32 bytes. */
  deriveKey(purpose: string): Buffer
  /**
   * Signs an access token and writes an entry to the audit log, unless `isRefresh`.
   * @throws TENANCY_USER_NOT_FOUND
   */
  issueAccessToken(input: LoginTokenInput): Promise<IssuedToken>
  /**
   * Finds the user of an `Authorization` header, checked as on any request.
   * @throws TENANCY_AUTH_REQUIRED, TENANCY_AUTH_TOKEN_INVALID, TENANCY_AUTH_USER_REFUSED, TENANCY_AUTH_TOKEN_BOUND
   */
  authenticate(authorization: string | undefined): Promise<User>
  /** Makes this process read the user again before the next request is answered. */
  forgetUser(id: string): void
  /** Counts in Redis; undefined: none is configured. */
  readonly volatileCounts?: VolatileCounts | undefined
  /** Adds a function that runs when the tenancy closes, before the catalog does. */
  onClose(close: () => Promise<void>): void
}
