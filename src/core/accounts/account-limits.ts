import { z } from 'zod'

const most = 2_147_483_647
const limit = z.strictObject({
  count: z.int().min(1).max(most),
  windowSeconds: z.int().min(1).max(31_536_000),
})

/** At most `count` attempts in `windowSeconds`, from the first one on. */
export type AttemptLimit = Readonly<z.output<typeof limit>>

const kinds = {
  login: z.strictObject({
    perAddress: limit,
    perAccountAndAddress: limit,
    withSuccesses: limit,
    perAccount: limit,
  }),
  register: z.strictObject({ perAddress: limit, mailsPerAccount: limit }),
  reset: z.strictObject({ perAddress: limit, mailsPerAccount: limit }),
  resend: z.strictObject({ perAddress: limit, mailsPerAccount: limit }),
  change: z.strictObject({ perAddress: limit, mailsPerAccount: limit }),
  profile: z.strictObject({ perAddress: limit, perAccount: limit }),
} as const

/**
 * The limits of accounts. "Address" is the network address of a request (of IPv6 the /64 network), "account" an e-mail
 * address, whether it has a user or not; for `profile` the user.
 *
 * - `perAddress`, `perAccount`, `perAccountAndAddress`: attempts above it are refused. For `login` they count failures; the
 *   first two also count attempts under way.
 * - `withSuccesses`: logins for one account from one address, failed or not.
 * - `mailsPerAccount`: mails above it are not sent; the response is the same.
 */
export interface AccountLimits {
  readonly login: {
    readonly perAddress: AttemptLimit
    readonly perAccountAndAddress: AttemptLimit
    readonly withSuccesses: AttemptLimit
    readonly perAccount: AttemptLimit
  }
  readonly register: MailingLimits
  readonly reset: MailingLimits
  readonly resend: MailingLimits
  /** Changes of address. */
  readonly change: MailingLimits
  readonly profile: { readonly perAddress: AttemptLimit; readonly perAccount: AttemptLimit }
}

/** Limits of requests that send a mail. */
export interface MailingLimits {
  readonly perAddress: AttemptLimit
  readonly mailsPerAccount: AttemptLimit
}

const quarterHour = 15 * 60
const hour = 60 * 60

/**
 * The default limits. They let the people of an office behind one address work.
 *
 * Logins: OWASP ASVS 4.0 (2.2.1) allows no more than 100 failed attempts for one account in an hour: 20 in each quarter, of
 * which an hour touches five. One caller may use 10 of them; NIST SP 800-63B (5.2.2) asks for a limit that does not keep an
 * owner out for good: refused attempts do not prolong it, and failures elsewhere do not count in a network from which the
 * owner came in before, or from which they confirmed their address or reset their password.
 *
 * Requests that send mails are limited to protect mailboxes, and none is refused because of its account: an attacker who uses
 * up the mails of an address has had the very links sent that its owner would ask for.
 */
export const defaultAccountLimits: AccountLimits = {
  login: {
    perAddress: { count: 300, windowSeconds: quarterHour },
    perAccountAndAddress: { count: 10, windowSeconds: quarterHour },
    withSuccesses: { count: 60, windowSeconds: quarterHour },
    perAccount: { count: 20, windowSeconds: quarterHour },
  },
  register: {
    perAddress: { count: 100, windowSeconds: hour },
    mailsPerAccount: { count: 5, windowSeconds: hour },
  },
  reset: {
    perAddress: { count: 100, windowSeconds: hour },
    mailsPerAccount: { count: 3, windowSeconds: hour },
  },
  resend: {
    perAddress: { count: 100, windowSeconds: hour },
    mailsPerAccount: { count: 3, windowSeconds: hour },
  },
  change: {
    perAddress: { count: 100, windowSeconds: hour },
    mailsPerAccount: { count: 3, windowSeconds: hour },
  },
  profile: {
    perAddress: { count: 600, windowSeconds: hour },
    perAccount: { count: 60, windowSeconds: hour },
  },
}

/** Changes of the limits as text (JSON): any of the kinds, any of their limits. */
export const accountLimitChanges = z
  .string()
  .transform((value, context) => {
    try {
      return JSON.parse(value) as unknown
    } catch {
      context.addIssue('must be a JSON object')
      return z.NEVER
    }
  })
  .pipe(
    z.strictObject({
      login: kinds.login.partial().optional(),
      register: kinds.register.partial().optional(),
      reset: kinds.reset.partial().optional(),
      resend: kinds.resend.partial().optional(),
      change: kinds.change.partial().optional(),
      profile: kinds.profile.partial().optional(),
    }),
  )

/** Limits that differ from the defaults. */
export type AccountLimitChanges = Readonly<z.output<typeof accountLimitChanges>>

/** The limits in force. */
export function accountLimitsWith(changes: AccountLimitChanges): AccountLimits {
  const { login, register, reset, resend, change, profile } = defaultAccountLimits
  return {
    login: override(login, changes.login),
    register: override(register, changes.register),
    reset: override(reset, changes.reset),
    resend: override(resend, changes.resend),
    change: override(change, changes.change),
    profile: override(profile, changes.profile),
  }
}

function override<Limits extends object>(
  limits: Limits,
  changes: { readonly [Name in keyof Limits]?: Limits[Name] | undefined } = {},
): Limits {
  const given = Object.entries(changes).filter(([, change]) => change !== undefined)
  return { ...limits, ...Object.fromEntries(given) }
}
