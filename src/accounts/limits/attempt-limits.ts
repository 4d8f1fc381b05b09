import { createHmac } from 'node:crypto'
import type { AccountsHost } from '../../core/accounts.js'
import { isTenancyError, TenancyError } from '../../core/errors.js'
import { callerNetwork } from './client-address.js'

/** What is limited. Logins by `/login` and `/token` are one kind, and so is every other use of a password. */
export type AttemptKind = 'login' | 'register' | 'reset' | 'resend'

/** At most `count` attempts in `windowSeconds`, from the first one on. */
export interface AttemptLimit {
  readonly count: number
  readonly windowSeconds: number
}

/** The limits of one kind. All of them hold. */
export interface KindLimits {
  /** From one address, whichever the account. */
  readonly perAddress: AttemptLimit
  /** For one account from one address. Default: none but the two others. */
  readonly perAccountAndAddress?: AttemptLimit
  /** For one account, wherever from. */
  readonly perAccount: AttemptLimit
}

/** Whose attempt it is. */
export interface AttemptSubject {
  /** The e-mail address as it was typed, whether it has an account or not. */
  readonly account: string
  /** As {@link ClientAddress} gives it. */
  readonly address: string
}

/** Counts attempts and refuses those above the limits. */
export interface AttemptLimits {
  /**
   * Counts an attempt, before any work is done for it. The answer depends on earlier attempts alone, not on whether
   * there is such an account.
   * @throws {@link TenancyError} TENANCY_REQUEST_TOO_MANY with `retryAfterSeconds`; TENANCY_CATALOG_UNAVAILABLE: nobody
   *   may try while attempts cannot be counted
   */
  attempt(kind: AttemptKind, subject: AttemptSubject): Promise<void>
  /**
   * Says that the attempt was the account owner's: earlier ones for the account are forgotten, and this one does not
   * count for the address, so that people who share one may all log in.
   * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
   */
  succeeded(kind: AttemptKind, subject: AttemptSubject): Promise<void>
}

const quarterHour = 15 * 60
const hour = 60 * 60

/**
 * The limits in force when nothing else is said.
 *
 * Logins: failed ones only, for a success takes its own attempt back. OWASP ASVS 4.0 (2.2.1) allows no more than 100
 * failed attempts for one account in an hour: 20 in each quarter, of which an hour touches five. One caller may use 10
 * of them, so that it takes more than one to keep an owner out; NIST SP 800-63B (5.2.2) asks for a limit that does not
 * do so for good: refused attempts do not prolong it, and `succeeded` after a password was reset by mail ends it.
 *
 * What sends mails is limited to protect mailboxes: whoever uses up the limit of somebody else's address has at
 * least had the mail sent that its owner would have asked for.
 */
export const defaultAttemptLimits: Readonly<Record<AttemptKind, KindLimits>> = {
  login: {
    perAddress: { count: 100, windowSeconds: quarterHour },
    perAccountAndAddress: { count: 10, windowSeconds: quarterHour },
    perAccount: { count: 20, windowSeconds: quarterHour },
  },
  register: {
    perAddress: { count: 10, windowSeconds: hour },
    perAccount: { count: 5, windowSeconds: hour },
  },
  reset: {
    perAddress: { count: 20, windowSeconds: hour },
    perAccount: { count: 3, windowSeconds: hour },
  },
  resend: {
    perAddress: { count: 20, windowSeconds: hour },
    perAccount: { count: 3, windowSeconds: hour },
  },
}

/**
 * Attempt limits that all processes share: counted in the catalog, by its clock, in one statement.
 *
 * @param limits kinds that differ from {@link defaultAttemptLimits}
 */
export function createAttemptLimits(
  host: Pick<AccountsHost, 'catalog' | 'deriveKey'>,
  limits: Partial<Readonly<Record<AttemptKind, KindLimits>>> = {},
): AttemptLimits {
  const inForce = { ...defaultAttemptLimits, ...limits }
  const secret = host.deriveKey('attempt limits')

  function keysOf(kind: AttemptKind, subject: AttemptSubject): Record<keyof KindLimits, Buffer> {
    const key = (...parts: string[]) =>
      createHmac('sha256', secret)
        .update(JSON.stringify([kind, ...parts]))
        .digest()
    const account = foldAccount(subject.account)
    const address = callerNetwork(subject.address)
    return {
      perAddress: key('address', address),
      perAccountAndAddress: key('account and address', account, address),
      perAccount: key('account', account),
    }
  }

  return {
    async attempt(kind, subject) {
      const own = inForce[kind]
      const keys = keysOf(kind, subject)
      // Narrow before wide: what is refused for its own address is not counted against the account.
      const counted = [
        { key: keys.perAddress, limit: own.perAddress },
        ...(own.perAccountAndAddress ? [{ key: keys.perAccountAndAddress, limit: own.perAccountAndAddress }] : []),
        { key: keys.perAccount, limit: own.perAccount },
      ]
      const { rows } = await answered(
        host.catalog.query<{ wait: number }>('select take_account_attempt($1, $2, $3) as wait', [
          counted.map((entry) => entry.key),
          counted.map((entry) => entry.limit.count),
          counted.map((entry) => entry.limit.windowSeconds),
        ]),
      )
      // No row would mean that nothing was counted.
      const retryAfterSeconds = rows[0]?.wait ?? 1
      if (retryAfterSeconds > 0) {
        throw new TenancyError('TENANCY_REQUEST_TOO_MANY', `Too many attempts: wait ${retryAfterSeconds} s`, {
          retryAfterSeconds,
        })
      }
    },

    async succeeded(kind, subject) {
      const keys = keysOf(kind, subject)
      await answered(
        host.catalog.query('select forgive_account_attempts($1, $2)', [
          keys.perAddress,
          [keys.perAccountAndAddress, keys.perAccount],
        ]),
      )
    },
  }
}

/**
 * An e-mail address so that every spelling that could find the same account is one text. Coarser than any rule of lower
 * case (accents go, compatible letters are one): a count that two addresses share does no harm, one that a spelling
 * escapes does.
 */
export function foldAccount(email: string): string {
  return email.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase().toUpperCase().trim()
}

async function answered<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    if (isTenancyError(error)) throw error
    throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog could not count an attempt', { cause: error })
  }
}
