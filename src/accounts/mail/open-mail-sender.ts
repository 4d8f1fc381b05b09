import type { MailSender } from '../../core/accounts/accounts.js'
import type { Config } from '../../core/config/config.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import { createSmtpSender } from './smtp-sender.js'

/**
 * Opens the mail sender that the configuration names: the SMTP server of `TENANT_MAIL__*`. Without one, development logs the
 * links of mails. Production then has no accounts, because a link in a log lets its readers take over the account.
 *
 * @throws {@link TenancyError} TENANCY_ACCOUNTS_MAIL_REQUIRED, TENANCY_CONFIG_PEER_MISSING
 */
export async function openMailSender(
  config: Pick<Config, 'mail' | 'isProduction'>,
  logger: Logger,
): Promise<MailSender> {
  if (config.mail) return createSmtpSender(config.mail, logger)
  if (config.isProduction) {
    throw new TenancyError(
      'TENANCY_ACCOUNTS_MAIL_REQUIRED',
      'Accounts need mail in production: set TENANT_MAIL__HOST and TENANT_MAIL__FROM',
    )
  }
  return {
    async send({ to, subject, text }) {
      const links = text.split('\n').filter((line) => /^https?:\/\/\S+$/.test(line))
      // A warning, because the default logger shows no lower level.
      logger.warn({ to, subject, links }, 'Development: no mail server is set (TENANT_MAIL__HOST), so no mail was sent')
    },
    async close() {},
  }
}
