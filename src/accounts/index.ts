import type { AccountProvider, AccountsHost, MailSender } from '../core/accounts/accounts.js'
import type { AccountsHandler } from '../http/http-tenancy.js'
import { createBetterAuthProvider } from './better-auth/provider.js'
import { createAccountRoutes } from './http/account-routes.js'
import { type AttemptLimits, createAttemptLimits } from './limits/attempt-limits.js'
import { createClientAddress } from './limits/client-address.js'
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
export type { AccountsHandler } from '../http/http-tenancy.js'

/** Options of {@link createAccounts}. */
export interface CreateAccountsOptions {
  /** From `createTenancy()`. */
  readonly tenancy: { accountsHost(): AccountsHost }
  /** Keeps passwords. Default: better-auth with argon2, in the catalog. */
  readonly provider?: AccountProvider
  /** Sends the default provider's mails; stays open when the tenancy closes. Default: a sender as `TENANT_MAIL__*` says. */
  readonly mail?: MailSender
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
 *   nodemailer), TENANCY_CONFIG_INVALID (`TENANT_TRUSTED_PROXIES`)
 * @example
 * const accounts = await createAccounts({ tenancy })
 * await app.register(tenancyPlugin, { tenancy, accounts })
 */
export async function createAccounts(options: CreateAccountsOptions): Promise<Accounts> {
  const host = options.tenancy.accountsHost()
  const { catalog, config, logger } = host
  const clientAddress = createClientAddress(config.trustedProxies)
  const limits = createAttemptLimits(host, config.accountsLimits)
  const provider = options.provider ?? (await openProvider(host, options.mail, limits))
  const refreshTokens = createRefreshTokens({
    catalog,
    ttlSeconds: config.token.refreshTtlSeconds,
    onReuse(userId) {
      host.forgetUser(userId)
      logger.warn({ userId }, 'An old refresh token was used: its login and the access tokens of the user were ended')
    },
  })
  const logins = createLogins({ host, provider, refreshTokens })
  return {
    provider,
    handle: createAccountRoutes({ host, provider, logins, limits, clientAddress }),
  }
}

async function openProvider(
  host: AccountsHost,
  mail: MailSender | undefined,
  limits: AttemptLimits,
): Promise<AccountProvider> {
  return createBetterAuthProvider({
    host,
    mail: mail ?? (await openMail(host)),
    mayMail: (kind, address) => limits.mayMail(kind, address),
  })
}

async function openMail(host: AccountsHost): Promise<MailSender> {
  const mail = await openMailSender(host.config, host.logger)
  host.onClose(() => mail.close())
  return mail
}
