import { createHmac } from 'node:crypto'
import {
  type AccountLimitChanges,
  type AccountLimits,
  accountLimitsWith,
  type AttemptLimit,
} from '../../core/accounts/account-limits.js'
import type { AccountsHost } from '../../core/accounts/accounts.js'
import { normalizeEmail } from '../../core/identity/email.js'
import { TenancyError } from '../../core/errors/errors.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'
import { callerNetwork } from '../../http/client-address.js'

/** Kinds of limited attempts. Logins by `/login` and `/token`, and every other use of a password, are one kind. */
export type AttemptKind = keyof AccountLimits

/** Kinds of attempts that send a mail. */
export type MailKind = 'register' | 'reset' | 'resend' | 'change'

/** Account and address of an attempt. */
export interface AttemptSubject {
  /** The e-mail address as typed, whether it has an account or not; for `profile` the user's id. */
  readonly account: string
  /** The client's address, from {@link ClientAddress}. */
  readonly address: string
}

/** An attempt that was counted. */
export interface Attempt {
  /** Marks the attempt as the account owner's. @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE */
  succeeded(): Promise<void>
}

/** Counts attempts and refuses those above the limits. */
export interface AttemptLimits {
  /**
   * Counts an attempt, before anything else is done for it. The answer depends on earlier attempts alone, not on whether the
   * account exists.
   * @throws {@link TenancyError} TENANCY_REQUEST_TOO_MANY with `retryAfterSeconds`; TENANCY_CATALOG_UNAVAILABLE:
   *   attempts are refused while they cannot be counted
   */
  attempt(kind: AttemptKind, subject: AttemptSubject): Promise<Attempt>
  /**
   * Records that the owner of an account used this address, by password or by a link in a mail. For a month, failures elsewhere
   * do not lock the owner out here, and failures from here are cleared.
   * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
   */
  trust(subject: AttemptSubject): Promise<void>
  /**
   * Counts a mail to an account. False: there were too many.
   * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
   */
  mayMail(kind: MailKind, account: string): Promise<boolean>
}

const trustedSeconds = 30 * 24 * 60 * 60

/**
 * Creates attempt limits that all processes share: they are counted in the catalog, by its clock, in one statement.
 *
 * @param changes limits that differ from the defaults
 */
export function createAttemptLimits(
  host: Pick<AccountsHost, 'catalog' | 'deriveKey'>,
  changes: AccountLimitChanges = {},
): AttemptLimits {
  const inForce = accountLimitsWith(changes)
  const secret = host.deriveKey('attempt limits')

  const keyOf = (kind: string, ...parts: string[]): Buffer =>
    createHmac('sha256', secret)
      .update(JSON.stringify([kind, ...parts]))
      .digest()

  function keysOf(kind: AttemptKind, subject: AttemptSubject) {
    const account = foldAccount(subject.account)
    const address = callerNetwork(subject.address)
    return {
      perAddress: keyOf(kind, 'address', address),
      perAccountAndAddress: keyOf(kind, 'account and address', account, address),
      withSuccesses: keyOf(kind, 'account and address, successes included', account, address),
      perAccount: keyOf(kind, 'account', account),
      trusted: keyOf('trusted', account, address),
    }
  }

  async function take(text: string, counted: readonly Counted[], more: readonly Buffer[] = []): Promise<Taken> {
    const { rows } = await answered(
      host.catalog.query<Taken>(text, [
        counted.map((entry) => entry.key),
        counted.map((entry) => entry.limit.count),
        counted.map((entry) => entry.limit.windowSeconds),
        ...more,
      ]),
    )
    // Without a row nothing was counted, so the attempt is refused.
    return rows[0] ?? { wait: 1, is_trusted: false }
  }

  async function trust(keys: ReturnType<typeof keysOf>, isCounted: boolean, isTrusted: boolean): Promise<void> {
    await answered(
      host.catalog.query('select trust_account_attempts($1, $2, $3, $4, $5)', [
        isCounted ? keys.perAddress : null,
        keys.perAccountAndAddress,
        isCounted && !isTrusted ? keys.perAccount : null,
        keys.trusted,
        trustedSeconds,
      ]),
    )
  }

  return {
    async attempt(kind, subject) {
      const keys = keysOf(kind, subject)
      const limits: Partial<AccountLimits['login']> = inForce[kind]
      // Narrow before wide: an attempt that is refused for its address does not count against the account.
      const counted = (['perAddress', 'perAccountAndAddress', 'withSuccesses', 'perAccount'] as const).flatMap((name) =>
        limits[name] === undefined ? [] : [{ key: keys[name], limit: limits[name] }],
      )
      const taken = await (kind === 'login'
        ? take('select wait, is_trusted from take_trusted_attempt($1, $2, $3, $4)', counted, [keys.trusted])
        : take('select take_account_attempt($1, $2, $3) as wait, false as is_trusted', counted))
      if (taken.wait > 0) {
        throw new TenancyError('TENANCY_REQUEST_TOO_MANY', `Too many attempts: wait ${taken.wait} s`, {
          retryAfterSeconds: taken.wait,
        })
      }
      return { succeeded: () => trust(keys, true, taken.is_trusted) }
    },

    trust: (subject) => trust(keysOf('login', subject), false, false),

    async mayMail(kind, account) {
      const key = keyOf(kind, 'mails', foldAccount(account))
      const { wait } = await take('select take_account_attempt($1, $2, $3) as wait, false as is_trusted', [
        { key, limit: inForce[kind].mailsPerAccount },
      ])
      return wait === 0
    },
  }
}

interface Counted {
  readonly key: Buffer
  readonly limit: AttemptLimit
}

interface Taken {
  /** Seconds until the next attempt is allowed; 0: this one was counted. */
  readonly wait: number
  readonly is_trusted: boolean
}

/**
 * Folds an e-mail address so that every spelling that could find the same account gives one text, spellings of the domain
 * included. This is coarser than any rule of lower case: accents are removed and compatible letters become one. Two addresses
 * that share a count do no harm; a spelling that escapes the count would.
 */
export function foldAccount(email: string): string {
  return (normalizeEmail(email) ?? email).normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase().toUpperCase().trim()
}

const answered = <Answer>(answer: Promise<Answer>) => catalogAnswer(answer, 'attempts')
