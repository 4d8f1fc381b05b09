import type { AccountProvider, AccountsHost, MailSender } from '../core/accounts/accounts.js'
import { refuseUnknownOptions } from '../core/config/unknown-options.js'
import type { AccountsHandler } from '../http/http-tenancy.js'
import { createAddressChanges } from './address-change.js'
import { createBetterAuthProvider } from './better-auth/provider.js'
import { createAccountRoutes } from './http/account-routes.js'
import { createSessionCookie } from './http/session-cookie.js'
import { createAttemptLimits, type MailKind } from './limits/attempt-limits.js'
import { createClientAddress } from '../http/client-address.js'
import { createLogins } from './logins.js'
import { openMailSender } from './mail/open-mail-sender.js'
import { createRefreshTokens } from './refresh-tokens.js'

export type {
  AccountProvider,
  AccountsHost,
  Confirmation,
  LoginTokenInput,
  Mail,
  MailSender,
  ProfileChange,
  Registration,
} from '../core/accounts/accounts.js'
import { auditedPool } from '../postgres/audited-query.js'
export type { AccountsHandler } from '../http/http-tenancy.js'

/** Options of {@link createAccounts}. */
export interface CreateAccountsOptions {
  /** From `createTenancy()`. */
  readonly tenancy: { accountsHost(): AccountsHost }
  /** Keeps passwords. Default: better-auth with argon2, in the catalog. */
  readonly provider?: AccountProvider
  /**
   * Sends the default provider's mails and those of a change of address, which another provider offers only with it; stays open when the tenancy closes. Default: a sender as `TENANT_MAIL__*` says.
   */
  readonly mail?: MailSender
  /**
   * Origins whose pages may keep a refresh token in the cookie of the session, such as `https://app.example.com`. Default: that
   * of `TENANT_PUBLIC_URL`.
   */
  readonly browserOrigins?: readonly string[]
}

/** The accounts of an installation, from {@link createAccounts}. */
export interface Accounts {
  /** Serves accounts over HTTP, below `TENANT_AUTH_PREFIX`; adapters mount it. */
  readonly handle: AccountsHandler
  readonly provider: AccountProvider
}

/**
 * Creates accounts for the users of an installation: register, verify an address, log in and out, refresh, reset and change a
 * password, profile. They close with the tenancy.
 *
 * @throws {@link TenancyError} TENANCY_ACCOUNTS_MAIL_REQUIRED, TENANCY_CONFIG_PEER_MISSING (better-auth, @node-rs/argon2,
 *   nodemailer), TENANCY_CONFIG_INVALID (`TENANT_TRUSTED_PROXIES`, `browserOrigins`, an unknown option)
 * @example
 * const accounts = await createAccounts({ tenancy })
 * await app.register(tenancyPlugin, { tenancy, accounts })
 */
export async function createAccounts(options: CreateAccountsOptions): Promise<Accounts> {
  refuseUnknownOptions('createAccounts', options, ['tenancy', 'provider', 'mail', 'browserOrigins'])
  const opened = options.tenancy.accountsHost()
  const host = { ...opened, catalog: auditedPool(opened.catalog) }
  const { catalog, config, logger } = host
  const clientAddress = createClientAddress(config.trustedProxies)
  const cookie = createSessionCookie({ config, origins: options.browserOrigins })
  const limits = createAttemptLimits(host, config.accountsLimits)
  // A provider of the application's own sends its mails itself, so it may come without a sender.
  const mayMail = (kind: MailKind, address: string) => limits.mayMail(kind, address)
  const { provider, mail } =
    options.provider === undefined
      ? await openProvider(host, options.mail, mayMail)
      : { provider: options.provider, mail: options.mail }
  const addressChanges = mail && createAddressChanges({ host, provider, mail, mayMail })
  const refreshTokens = createRefreshTokens({
    catalog,
    ttlSeconds: config.token.refreshTtlSeconds,
    key: host.deriveKey('refresh tokens in cookies'),
    onReuse(userId) {
      host.forgetUser(userId)
      logger.warn({ userId }, 'An old refresh token was used: its login and the access tokens of the user were ended')
    },
  })
  const logins = createLogins({ host, provider, refreshTokens })
  return {
    provider,
    handle: createAccountRoutes({ host, provider, logins, limits, cookie, clientAddress, addressChanges }),
  }
}

async function openProvider(
  host: AccountsHost,
  sender: MailSender | undefined,
  mayMail: (kind: MailKind, address: string) => Promise<boolean>,
) {
  const mail = sender ?? (await openMail(host))
  return { mail, provider: await createBetterAuthProvider({ host, mail, mayMail }) }
}

async function openMail(host: AccountsHost): Promise<MailSender> {
  const mail = await openMailSender(host.config, host.logger)
  host.onClose(() => mail.close())
  return mail
}
