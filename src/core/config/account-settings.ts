import { z } from 'zod'
import { accountLimitChanges } from '../accounts/account-limits.js'
import { flag, integer, type Setting, text, urlWith } from './setting-schemas.js'

const pathPrefix = z
  .string()
  .regex(/^\/[a-z0-9][a-z0-9/_-]*[a-z0-9]$/, 'must be a path such as /auth, without a slash at the end')

/** Settings of accounts and of their mails. */
export const accountSettings = {
  TENANT_AUTH_PREFIX: { description: 'Path under which accounts are served.', schema: pathPrefix.default('/auth') },
  TENANT_PUBLIC_URL: {
    description: 'Address at which users reach this service; links in mails start with it.',
    schema: urlWith(['https:', 'http:']).default('http://localhost:3000'),
  },
  TENANT_ACCOUNTS_LIMITS: {
    description:
      'Limits of accounts that differ from the defaults, as JSON: `{"register":{"perAddress":{"count":500,"windowSeconds":3600}}}`. docs/identity.md has all of them.',
    schema: accountLimitChanges.default({}),
  },
  TENANT_MAIL__HOST: {
    description: 'SMTP server. Without one, development logs the links and production refuses to start accounts.',
    schema: text().optional(),
  },
  TENANT_MAIL__PORT: { description: 'Its port.', schema: integer(1, 65_535, 587) },
  TENANT_MAIL__SECURE: {
    description: '`true`: TLS from the first byte (port 465). `false`: STARTTLS.',
    schema: flag(false),
  },
  TENANT_MAIL__REQUIRE_TLS: {
    description: 'Refuse to send over a connection that is not encrypted.',
    schema: flag(true),
  },
  TENANT_MAIL__USERNAME: { description: 'SMTP account.', schema: text().optional() },
  TENANT_MAIL__PASSWORD: { description: 'Its password.', schema: text(1024).optional(), isSecret: true },
  TENANT_MAIL__FROM: {
    description: 'Sender of mails, such as `Acme <no-reply@acme.example>`.',
    schema: text(320).optional(),
  },
} as const satisfies Record<string, Setting>
