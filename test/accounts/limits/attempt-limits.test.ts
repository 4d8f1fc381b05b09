import { createHash, randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type AttemptLimits, createAttemptLimits, foldAccount } from '../../../src/accounts/limits/attempt-limits.js'
import { type AccountLimitChanges, defaultAccountLimits } from '../../../src/core/accounts/account-limits.js'
import { createCatalogPool } from '../../../src/catalog/catalog-pool.js'
import { findTenancyError, isTenancyError, type TenancyError } from '../../../src/core/errors/errors.js'
import { createTestCatalog, type TestDatabase } from '../../support/catalog.js'

let catalog: TestDatabase
let otherPool: pg.Pool
beforeAll(async () => {
  catalog = await createTestCatalog()
  otherPool = new pg.Pool({ connectionString: catalog.url, max: 10 })
})
afterAll(async () => {
  await otherPool.end()
  await catalog.drop()
})
beforeEach(async () => {
  await catalog.pool.query('truncate account_attempts')
})

const secret = randomBytes(32)
const deriveKey = (purpose: string) => createHash('sha256').update(secret).update(purpose).digest()

function limitsOn(pool: pg.Pool, limits?: AccountLimitChanges): AttemptLimits {
  return createAttemptLimits({ catalog: pool, deriveKey }, limits)
}

const ada = { account: 'ada@example.com', address: '203.0.113.9' }

/** The result of an attempt: let through, or the seconds to wait. */
async function outcome(attempt: Promise<unknown>): Promise<'through' | number> {
  try {
    await attempt
    return 'through'
  } catch (error) {
    if (!isTenancyError(error, 'TENANCY_REQUEST_TOO_MANY')) throw error
    return findTenancyError(error)?.retryAfterSeconds ?? Number.NaN
  }
}

async function letThrough(attempts: readonly Promise<unknown>[]): Promise<number> {
  const outcomes = await Promise.all(attempts.map(outcome))
  return outcomes.filter((one) => one === 'through').length
}

/** Makes `count` attempts one after the other. */
async function repeat(count: number, attempt: (index: number) => Promise<unknown>): Promise<('through' | number)[]> {
  const outcomes: ('through' | number)[] = []
  for (let index = 0; index < count; index += 1) outcomes.push(await outcome(attempt(index)))
  return outcomes
}

/** Lets time pass in the catalog: every window ends `seconds` earlier. */
async function passSeconds(seconds: number): Promise<void> {
  await catalog.pool.query('update account_attempts set expires_at = expires_at - make_interval(secs => $1)', [seconds])
}

async function rowCount(): Promise<number> {
  const { rows } = await catalog.pool.query<{ count: number }>('select count(*)::int from account_attempts')
  return rows[0]?.count ?? Number.NaN
}

const through = (count: number) => Array.from({ length: count }, () => 'through')
const second = 1
const hour = 3600
const loose = { count: 1_000_000, windowSeconds: hour }

describe('limits', () => {
  test('The eleventh login for an account from one address within 15 minutes is refused, with the time to wait', async () => {
    const limits = limitsOn(catalog.pool)
    const outcomes = await repeat(12, () => limits.attempt('login', ada))
    expect(outcomes.slice(0, 10)).toEqual(through(10))
    for (const wait of outcomes.slice(10)) {
      expect(wait).toBeGreaterThan(15 * 60 - 60)
      expect(wait).toBeLessThanOrEqual(15 * 60)
    }
  })

  test('A refused attempt throws the documented error', async () => {
    const limits = limitsOn(catalog.pool)
    await repeat(10, () => limits.attempt('login', ada))
    const error = (await limits.attempt('login', ada).catch((reason: unknown) => reason)) as TenancyError
    expect(error).toMatchObject({ code: 'TENANCY_REQUEST_TOO_MANY', statusCode: 429 })
    expect(Number.isInteger(error.retryAfterSeconds)).toBe(true)
    expect(error.message).not.toContain('ada')
    expect(error.details).toBeUndefined()
  })

  test('Logins are limited to 20 failures for an account from anywhere and 300 from an address for any account', async () => {
    const limits = limitsOn(catalog.pool)
    const spread = await repeat(21, (index) => limits.attempt('login', { ...ada, address: `198.51.100.${index}` }))
    expect(spread.slice(0, 20)).toEqual(through(20))
    expect(spread[20]).toBeGreaterThan(0)
    const many = await repeat(301, (index) => limits.attempt('login', { ...ada, account: `user${index}@example.com` }))
    expect(many.slice(0, 300)).toEqual(through(300))
    expect(many[300]).toBeGreaterThan(0)
  })

  test.each(['register', 'reset', 'resend'] as const)(
    'The limit of %s is 100 from an address, and none for an account, as that would lock out its owner',
    async (kind) => {
      const limits = limitsOn(catalog.pool)
      const spread = await repeat(110, (index) => limits.attempt(kind, { ...ada, address: `198.51.100.${index}` }))
      expect(spread).toEqual(through(110))
      const many = await repeat(101, (index) => limits.attempt(kind, { ...ada, account: `user${index}@example.com` }))
      expect(many.slice(0, 100)).toEqual(through(100))
      expect(many[100]).toBeGreaterThan(0)
    },
  )

  test('Mails to an account are counted by kind, and a mail above the limit is refused without an error', async () => {
    const limits = limitsOn(catalog.pool)
    for (const kind of ['register', 'reset', 'resend'] as const) {
      const { count } = defaultAccountLimits[kind].mailsPerAccount
      const answers: boolean[] = []
      for (let index = 0; index <= count; index += 1) {
        answers.push(await limits.mayMail(kind, index % 2 ? ' ADA@example.com' : ada.account))
      }
      expect(answers).toEqual([...Array.from({ length: count }, () => true), false])
      expect(await limits.mayMail(kind, 'bob@example.com')).toBe(true)
    }
    await passSeconds(hour)
    expect(await limits.mayMail('reset', ada.account)).toBe(true)
  })

  test('Profile changes are limited to 60 per user and hour', async () => {
    const limits = limitsOn(catalog.pool)
    const outcomes = await repeat(61, () => limits.attempt('profile', ada))
    expect(outcomes.slice(0, 60)).toEqual(through(60))
    expect(outcomes[60]).toBeGreaterThan(0)
    expect(await outcome(limits.attempt('profile', { ...ada, account: 'another user' }))).toBe('through')
  })

  test('Successful logins are limited to 60 in 15 minutes for an account from one address', async () => {
    const limits = limitsOn(catalog.pool)
    for (let index = 0; index < 60; index += 1) await (await limits.attempt('login', ada)).succeeded()
    expect(await outcome(limits.attempt('login', ada))).not.toBe('through')
    expect(await outcome(limits.attempt('login', { ...ada, address: '198.51.100.1' }))).toBe('through')
    expect(await outcome(limits.attempt('login', { ...ada, account: 'bob@example.com' }))).toBe('through')
    await passSeconds(15 * 60)
    expect(await outcome(limits.attempt('login', ada))).toBe('through')
  })

  test('The configuration replaces the default limits that it names', async () => {
    const limits = limitsOn(catalog.pool, {
      register: { perAddress: { count: 2, windowSeconds: hour } },
      login: { perAccountAndAddress: { count: 1, windowSeconds: hour } },
    })
    expect(await repeat(3, () => limits.attempt('register', ada))).toEqual(['through', 'through', expect.any(Number)])
    expect(await repeat(2, () => limits.attempt('login', ada))).toEqual(['through', expect.any(Number)])
    expect(await repeat(4, () => limits.attempt('reset', ada))).toEqual(through(4))
  })

  test('Kinds of attempts are counted separately', async () => {
    const limits = limitsOn(catalog.pool, { reset: { perAddress: { count: 1, windowSeconds: hour } } })
    await repeat(2, () => limits.attempt('reset', ada))
    expect(await outcome(limits.attempt('reset', ada))).not.toBe('through')
    for (const kind of ['login', 'register', 'resend', 'profile'] as const) {
      expect(await outcome(limits.attempt(kind, ada))).toBe('through')
    }
  })

  test('All addresses of an IPv6 /64 are one caller, and the next /64 is another', async () => {
    const limits = limitsOn(catalog.pool, { register: { perAddress: { count: 10, windowSeconds: hour } } })
    const outcomes = await repeat(11, (index) =>
      limits.attempt('register', { account: `user${index}@example.com`, address: `2001:db8:1:2::${index}` }),
    )
    expect(outcomes.at(-1)).not.toBe('through')
    const next = { account: 'user@example.com', address: '2001:db8:1:3::1' }
    expect(await outcome(limits.attempt('register', next))).toBe('through')
  })

  test('Spellings of one e-mail address count as one account', async () => {
    const limits = limitsOn(catalog.pool, {
      login: { perAddress: loose, perAccount: { count: 3, windowSeconds: hour } },
    })
    const spellings = ['ada@example.com', 'ADA@Example.COM', ' Ada@example.com ', 'aDa@example.com']
    const outcomes = await repeat(4, (index) => limits.attempt('login', { ...ada, account: spellings[index] ?? '' }))
    expect(outcomes.slice(0, 3)).toEqual(through(3))
    expect(outcomes[3]).not.toBe('through')
  })

  test('An attempt gets the same answer whether or not the account exists', async () => {
    const limits = limitsOn(catalog.pool)
    await catalog.pool.query(`insert into users (email, email_verified) values ('ada@example.com', true)`)
    const errors = []
    for (const account of ['ada@example.com', 'nobody@example.com']) {
      await repeat(10, () => limits.attempt('login', { ...ada, account }))
      const error = await limits
        .attempt('login', { ...ada, account })
        .catch((reason: unknown) => reason as TenancyError)
      const { code, statusCode, details } = error as TenancyError
      errors.push({ code, statusCode, details, message: (error as TenancyError).message.replaceAll(/\d+/g, 'N') })
    }
    expect(errors[0]).toEqual(errors[1])
  })
})

describe('simultaneous attempts', () => {
  test('Of 100 simultaneous attempts of two processes, exactly 10 get through', async () => {
    const [one, other] = [limitsOn(catalog.pool), limitsOn(otherPool)]
    const attempts = Array.from({ length: 100 }, (_, index) => (index % 2 ? one : other).attempt('login', ada))
    expect(await letThrough(attempts)).toBe(10)
  })

  test('Exactly 10 simultaneous attempts get through when an expired window is still stored', async () => {
    const limits = limitsOn(catalog.pool)
    await repeat(10, () => limits.attempt('login', ada))
    await passSeconds(hour)
    const other = limitsOn(otherPool)
    const attempts = Array.from({ length: 100 }, (_, index) => (index % 2 ? limits : other).attempt('login', ada))
    expect(await letThrough(attempts)).toBe(10)
  })

  test('Simultaneous attempts for many accounts from many addresses, some successful, never deadlock', async () => {
    const both = [limitsOn(catalog.pool), limitsOn(otherPool)]
    const attempts = Array.from({ length: 400 }, async (_, index) => {
      const limits = both[index % 2]
      const subject = { account: `user${index % 3}@example.com`, address: `203.0.113.${index % 5}` }
      const result = await outcome(limits!.attempt('login', subject))
      if (index % 4 === 0) await limits!.trust(subject)
      if (index % 7 === 0) await (await limits!.attempt('profile', subject)).succeeded()
      return result
    })
    expect((await Promise.all(attempts)).length).toBe(400)
  })
})

describe('the end of a limit', () => {
  test('Refused attempts do not prolong a limit: an owner who waits gets in', async () => {
    const limits = limitsOn(catalog.pool)
    await repeat(10, () => limits.attempt('login', ada))
    await passSeconds(14 * 60)
    expect(await outcome(limits.attempt('login', ada))).toBeLessThanOrEqual(60)
    await passSeconds(60 + second)
    expect(await outcome(limits.attempt('login', ada))).toBe('through')
  })

  test('A successful login clears the failures from its address', async () => {
    const limits = limitsOn(catalog.pool)
    await repeat(9, () => limits.attempt('login', ada))
    await (await limits.attempt('login', ada)).succeeded()
    expect(await repeat(10, () => limits.attempt('login', ada))).toEqual(through(10))
    expect(await outcome(limits.attempt('login', ada))).not.toBe('through')
  })

  test('Failures that others cause elsewhere do not lock out an owner at an address used before', async () => {
    const limits = limitsOn(catalog.pool)
    await (await limits.attempt('login', ada)).succeeded()
    const elsewhere = (index: number) => limits.attempt('login', { ...ada, address: `198.51.100.${index}` })
    await repeat(25, elsewhere)
    expect(await outcome(elsewhere(99))).not.toBe('through')
    for (let index = 0; index < 15; index += 1) await (await limits.attempt('login', ada)).succeeded()
    // The stranger's own limit stays, so the success tells the stranger nothing.
    expect(await outcome(elsewhere(99))).not.toBe('through')
    // Trust does not allow guessing without limit.
    const guesses = await repeat(11, () => limits.attempt('login', ada))
    expect(guesses.slice(0, 10)).toEqual(through(10))
    expect(guesses[10]).toBeGreaterThan(0)
  })

  test('An owner who uses a link from the mailbox can log in there, even if others used up the attempts', async () => {
    const limits = limitsOn(catalog.pool)
    await repeat(20, (index) => limits.attempt('login', { ...ada, address: `198.51.100.${index}` }))
    expect(await outcome(limits.attempt('login', ada))).not.toBe('through')
    await limits.trust(ada)
    expect(await outcome(limits.attempt('login', ada))).toBe('through')
    expect(await outcome(limits.attempt('login', { ...ada, address: '198.51.100.99' }))).not.toBe('through')
    await passSeconds(31 * 24 * hour)
    await repeat(20, (index) => limits.attempt('login', { ...ada, address: `198.51.100.${index}` }))
    expect(await outcome(limits.attempt('login', ada))).not.toBe('through')
  })

  test('One caller alone cannot lock out the owner', async () => {
    const limits = limitsOn(catalog.pool)
    await repeat(50, () => limits.attempt('login', { ...ada, address: '198.51.100.1' }))
    expect(await outcome(limits.attempt('login', ada))).toBe('through')
  })

  test('People who share an address can all log in', async () => {
    const limits = limitsOn(catalog.pool)
    for (let index = 0; index < 350; index += 1) {
      await (await limits.attempt('login', { ...ada, account: `user${index}@example.com` })).succeeded()
    }
    expect(await outcome(limits.attempt('login', ada))).toBe('through')
  })

  test('A successful login with one’s own account does not reduce the failures counted for the address', async () => {
    const limits = limitsOn(catalog.pool, { login: { perAddress: { count: 20, windowSeconds: hour } } })
    const own = { ...ada, account: 'mallory@example.com' }
    for (let index = 0; index < 19; index += 1) {
      await limits.attempt('login', { ...ada, account: `user${index}@example.com` })
      await (await limits.attempt('login', own)).succeeded()
    }
    expect(await outcome(limits.attempt('login', ada))).toBe('through')
    expect(await outcome(limits.attempt('login', own))).not.toBe('through')
  })
})

describe('stored attempts', () => {
  test('No stored row shows an address, and another installation’s key gives other rows', async () => {
    await limitsOn(catalog.pool).attempt('login', ada)
    const { rows } = await catalog.pool.query<{ key: Buffer }>('select key from account_attempts')
    expect(rows).toHaveLength(4)
    for (const { key } of rows) {
      expect(key).toHaveLength(32)
      for (const text of [ada.account, ada.address]) {
        expect(key.includes(text)).toBe(false)
        expect(key.equals(createHash('sha256').update(text).digest())).toBe(false)
      }
    }
    const elsewhere = createAttemptLimits({ catalog: catalog.pool, deriveKey: () => randomBytes(32) })
    await elsewhere.attempt('login', ada)
    expect(await rowCount()).toBe(8)
  })

  test('New attempts remove expired rows and keep the rows in force', async () => {
    const limits = limitsOn(catalog.pool)
    await repeat(40, (index) =>
      limits.attempt('register', { account: `u${index}@x.y`, address: `198.51.100.${index}` }),
    )
    await passSeconds(2 * hour)
    await repeat(10, () => limits.attempt('login', ada))
    await repeat(30, (index) => limits.attempt('register', { account: `v${index}@x.y`, address: `192.0.2.${index}` }))
    const { rows } = await catalog.pool.query<{ live: number; expired: number }>(
      `select count(*) filter (where expires_at > now())::int as live,
              count(*) filter (where expires_at <= now())::int as expired from account_attempts`,
    )
    expect(rows[0]).toEqual({ live: 4 + 30, expired: 0 })
    expect(await outcome(limits.attempt('login', ada))).not.toBe('through')
  })

  test('A refused attempt writes nothing', async () => {
    const limits = limitsOn(catalog.pool, {
      login: { perAddress: { count: 1, windowSeconds: hour }, perAccountAndAddress: loose, perAccount: loose },
    })
    await limits.attempt('login', ada)
    const read = () =>
      catalog.pool.query('select key, count, expires_at, xmin, xmax from account_attempts order by key')
    const before = await read()
    expect(await outcome(limits.attempt('login', ada))).not.toBe('through')
    expect((await read()).rows).toEqual(before.rows)
  })

  test('An attempt that is refused for its address does not count against the account', async () => {
    const limits = limitsOn(catalog.pool, {
      login: { perAddress: { count: 1, windowSeconds: hour }, perAccount: { count: 2, windowSeconds: hour } },
    })
    await repeat(5, () => limits.attempt('login', ada))
    expect(await outcome(limits.attempt('login', { ...ada, address: '198.51.100.1' }))).toBe('through')
  })
})

describe('without the catalog', () => {
  test('Attempts are refused while the catalog’s server does not answer', async () => {
    const pool = createCatalogPool({ host: '127.0.0.1', port: 1, user: 'x', password: 'x', database: 'x' })
    const limits = createAttemptLimits({ catalog: pool, deriveKey })
    try {
      await expect(limits.attempt('login', ada)).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
      await expect(limits.trust(ada)).rejects.toMatchObject({ code: 'TENANCY_CATALOG_UNAVAILABLE' })
    } finally {
      await pool.end()
    }
  })

  test('Attempts are refused while the catalog refuses the statement', async () => {
    const broken = new pg.Pool({ connectionString: catalog.url, max: 1, options: '-c search_path=pg_temp' })
    try {
      await expect(limitsOn(broken).attempt('login', ada)).rejects.toMatchObject({
        code: 'TENANCY_CATALOG_UNAVAILABLE',
      })
    } finally {
      await broken.end()
    }
  })
})

describe('folding of e-mail addresses', () => {
  // Planes 0 and 1, as no letter beyond them has a case.
  const codePoints = Array.from({ length: 0x2_0000 - 1 }, (_, index) => index + 1).filter(
    (point) => point < 0xd800 || point > 0xdfff,
  )

  test('Lower case as JavaScript makes it stays the same account', () => {
    const escaping = codePoints
      .map((point) => String.fromCodePoint(point))
      .filter((letter) => foldAccount(`x${letter}@y`) !== foldAccount(`x${letter}@y`.toLowerCase()))
    expect(escaping).toEqual([])
  })

  test('Lower case as PostgreSQL makes it in any of its locales stays the same account', async () => {
    const { rows: collations } = await catalog.pool.query<{ name: string }>(
      `select quote_ident(collname) as name from pg_collation
        where collname in ('default', 'C', 'pg_c_utf8', 'C.utf8', 'en_US.utf8', 'und-x-icu', 'tr-x-icu', 'lt-x-icu', 'el-x-icu')`,
    )
    expect(collations.length).toBeGreaterThan(1)
    for (const { name } of collations) {
      const { rows } = await catalog.pool.query<{ letter: string; lower: string }>(
        `select letter, lower(letter collate ${name}) as lower
           from (select chr(point) as letter from unnest($1::int[]) as point) as letters
          where letter <> lower(letter collate ${name})`,
        [codePoints],
      )
      expect(rows.length).toBeGreaterThan(25)
      const escaping = rows.filter(({ letter, lower }) => foldAccount(`x${letter}@y`) !== foldAccount(`x${lower}@y`))
      expect(escaping).toEqual([])
    }
  })

  test('Another spelling of the domain stays the same account', () => {
    for (const domain of ['x\u3002co', 'x\uFF0Eco', 'X.CO', 'x\u00AD.co', 'x.c\u200Bo', '\uFF58.co']) {
      expect(foldAccount(`f@${domain}`)).toBe(foldAccount('f@x.co'))
    }
    expect(foldAccount('f@exämple.de')).toBe(foldAccount('f@xn--exmple-cua.de'))
  })

  test('Different ASCII addresses stay different accounts', () => {
    const accounts = ['ada@x.y', 'ad@x.y', 'ada@x.yz', 'a.da@x.y', 'ada+1@x.y', 'ada_@x.y', 'ada-@x.y']
    expect(new Set(accounts.map(foldAccount)).size).toBe(accounts.length)
  })
})

test('The defaults stay below the 100 failed logins an hour for an account of OWASP ASVS 2.2.1', () => {
  const { perAccount } = defaultAccountLimits.login
  // An hour overlaps one more window than fit into it.
  const windows = Math.ceil(hour / perAccount.windowSeconds) + 1
  expect(perAccount.count * windows).toBeLessThanOrEqual(100)
})
