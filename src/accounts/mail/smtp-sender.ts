import type { MailSender } from '../../core/accounts/accounts.js'
import type { Config } from '../../core/config/config.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import { mailAddress } from './mail-address.js'

const connectTimeoutMs = 10_000
const silenceTimeoutMs = 15_000
// From `send` until the server accepts the mail, including the wait for a connection.
const deliveryTimeoutMs = 60_000

/**
 * Creates a sender of mails over SMTP (RFC 5321) with the package nodemailer, an optional peer. An invalid certificate is
 * refused. With `requireTls`, so is a server without STARTTLS (RFC 3207), before any credential or mail is sent.
 *
 * There is no queue and no retry: a mail that the server does not accept is an error at once, and the user asks for another
 * one. Only a mail whose pooled connection turns out to be closed is sent on the next connection.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING. `send`: TENANCY_ACCOUNTS_MAIL_FAILED, and
 *   TENANCY_ACCOUNTS_EMAIL_INVALID for a recipient that is not one plain address
 */
export async function createSmtpSender(mail: NonNullable<Config['mail']>, logger: Logger): Promise<MailSender> {
  const { createTransport } = await import('nodemailer').catch((cause: unknown) => {
    throw new TenancyError(
      'TENANCY_CONFIG_PEER_MISSING',
      'TENANT_MAIL__HOST needs the package nodemailer: npm install nodemailer',
      { cause },
    )
  })
  const transport = createTransport({
    pool: true,
    host: mail.host,
    port: mail.port,
    secure: mail.secure,
    requireTLS: mail.requireTls,
    ...(mail.username === undefined ? {} : { auth: { user: mail.username, pass: mail.password ?? '' } }),
    maxRequeues: 2,
    dnsTimeout: connectTimeoutMs,
    connectionTimeout: connectTimeoutMs,
    greetingTimeout: connectTimeoutMs,
    socketTimeout: silenceTimeoutMs,
    // A mail is only text and must never make this process read a file or fetch an address.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  transport.on('error', (error) => logger.warn({ error: String(error) }, 'A connection to the mail server failed'))
  const underway = new Set<Promise<unknown>>()

  return {
    async send({ to, subject, text, html }) {
      const address = mailAddress(to)
      const delivery = transport.sendMail({
        from: mail.from,
        // As parts, so that the library does not parse the address.
        to: { name: '', address },
        subject,
        text,
        html,
        signal: AbortSignal.timeout(deliveryTimeoutMs),
      })
      underway.add(delivery)
      try {
        await delivery
      } catch (cause) {
        throw new TenancyError(
          'TENANCY_ACCOUNTS_MAIL_FAILED',
          `The mail server ${mail.host}:${mail.port} took no mail`,
          {
            cause,
          },
        )
      } finally {
        underway.delete(delivery)
      }
    },

    async close() {
      transport.close()
      await Promise.allSettled(underway)
    },
  }
}
