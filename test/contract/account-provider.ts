import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AccountProvider, Mail } from '../../src/core/accounts/accounts.js'
import type { TenancyErrorCode } from '../../src/core/errors/errors.js'
import type { UserRecord } from '../../src/core/identity/identity.js'

/** A provider on its own catalog, and the functions by which the contract observes it from outside. */
export interface ProviderUnderTest {
  readonly provider: AccountProvider
  /** Every mail to the address, oldest first. Waits for mails that are still on their way. */
  mailsTo(address: string): Promise<readonly Mail[]>
  /** The catalog's record of the user who has exactly this address. */
  readUser(address: string): Promise<UserRecord | undefined>
  /** Counts the users with this address, in any case. */
  countUsers(address: string): Promise<number>
  /** Creates an unverified user without a password. */
  createUser(address: string): Promise<UserRecord>
  disableUser(id: string): Promise<void>
  enableUser(id: string): Promise<void>
  /** From now on the catalog does not answer. */
  cutCatalog(): Promise<void>
  close(): Promise<void>
}

const password = 'correct horse battery'
const otherPassword = 'staple of another kind'

const badAddress = { code: 'TENANCY_ACCOUNTS_EMAIL_INVALID' } as const
const badPassword = { code: 'TENANCY_ACCOUNTS_PASSWORD_INVALID' } as const
const wrongCredentials = { code: 'TENANCY_ACCOUNTS_CREDENTIALS_INVALID' } as const
const badLink = { code: 'TENANCY_ACCOUNTS_LINK_INVALID' } as const
const badRequest = { code: 'TENANCY_REQUEST_INVALID' } as const
const noUser = { code: 'TENANCY_USER_NOT_FOUND' } as const
const outage = { code: 'TENANCY_CATALOG_UNAVAILABLE' } as const

/** The token in the link of a mail. */
export function tokenIn(mail: Mail | undefined): string {
  const token = /[?&]token=([^\s&"<]+)/.exec(mail?.text ?? '')?.[1]
  if (token === undefined) throw new Error(`No link with a token in the mail ${JSON.stringify(mail)}`)
  return token
}

/** The contract of {@link AccountProvider}, as tests: run it on your own provider. */
export function describeAccountProvider(name: string, makeProvider: () => Promise<ProviderUnderTest>): void {
  describe(`${name} as account provider`, () => {
    let subject: ProviderUnderTest
    let provider: AccountProvider
    beforeAll(async () => {
      subject = await makeProvider()
      provider = subject.provider
    })
    afterAll(() => subject.close())

    const freshAddress = () => `ada.${randomUUID()}@example.com`
    const lastMail = async (address: string) => (await subject.mailsTo(address)).at(-1)

    async function register(address = freshAddress()): Promise<string> {
      await provider.register({ email: address, password, name: 'Ada' })
      return address
    }

    async function registerVerified(): Promise<{ readonly address: string; readonly id: string }> {
      const address = await register()
      return { address, id: await confirm(tokenIn(await lastMail(address))) }
    }

    async function forgetPassword(address: string): Promise<string> {
      await provider.requestPasswordReset(address)
      return tokenIn(await lastMail(address))
    }

    /** Confirms with the registered password, unless another is given. */
    const confirm = (token: string, chosen = password) => provider.verifyEmail({ token, password: chosen })

    const epochOf = async (address: string) => (await subject.readUser(address))?.tokenEpoch ?? Number.NaN

    describe('register', () => {
      it('Registering sends one mail with a link and creates no user before the link is used', async () => {
        const address = await register()
        const mails = await subject.mailsTo(address)
        expect(mails).toHaveLength(1)
        expect(tokenIn(mails[0])).not.toBe('')
        expect(await subject.countUsers(address)).toBe(0)
        await confirm(tokenIn(mails[0]))
        expect((await subject.readUser(address))?.user).toMatchObject({
          email: address,
          name: 'Ada',
          emailVerified: true,
          disabledAt: null,
        })
      })

      it('Registering stores the address in lower case', async () => {
        const address = freshAddress()
        await register(` ${address.toUpperCase()} `)
        await confirm(tokenIn(await lastMail(address)))
        expect((await subject.readUser(address))?.user.email).toBe(address)
      })

      it('Registering an address that has an account answers the same, changes nothing and tells the owner', async () => {
        const { address } = await registerVerified()
        const before = await subject.readUser(address)
        const again = { email: address.toUpperCase(), password: otherPassword, name: 'Eve' }
        await expect(provider.register(again)).resolves.toBeUndefined()
        expect(await subject.mailsTo(address)).toHaveLength(2)
        expect(await subject.readUser(address)).toEqual(before)
        await expect(provider.checkPassword(address, otherPassword)).rejects.toMatchObject(wrongCredentials)
        expect(await provider.checkPassword(address, password)).toBe(before?.user.id)
      })

      it('Of 20 simultaneous registrations of an address, the link used first makes the user and the others are void', async () => {
        const address = freshAddress()
        const results = await Promise.allSettled(
          Array.from({ length: 20 }, (_, index) =>
            provider.register({
              email: index % 2 ? address : address.toUpperCase(),
              password: `${password} ${index}`,
              name: '',
            }),
          ),
        )
        expect(results).toEqual(results.map(() => ({ status: 'fulfilled', value: undefined })))
        const mails = await subject.mailsTo(address)
        expect(mails).toHaveLength(20)
        expect(await race(mails.map((mail) => confirm(tokenIn(mail), otherPassword)))).toEqual(oneOf(20, badLink))
        expect(await subject.countUsers(address)).toBe(1)
        expect(await provider.checkPassword(address, otherPassword)).toBe((await subject.readUser(address))?.user.id)
      })

      it.each(['', ' ', 'ada', 'ada@', '@example.com', 'a b@example.com', 'a\0@example.com', 'a@b\r\nBcc: c@d.e'])(
        'Registering refuses the address %j',
        async (email) => {
          await expect(provider.register({ email, password, name: '' })).rejects.toMatchObject(badAddress)
        },
      )

      it.each([
        ['no characters', ''],
        ['7 characters', '1234567'],
        ['7 characters that are two UTF-16 units each', '\u{1F511}'.repeat(7)],
        ['129 characters', 'x'.repeat(129)],
        ['blanks only', ' \t\n'.repeat(4)],
        ['half of a surrogate pair', 'correct \ud800 horse'],
      ])('Registering refuses a password with %s', async (_name, weak) => {
        const address = freshAddress()
        await expect(provider.register({ email: address, password: weak, name: '' })).rejects.toMatchObject(badPassword)
        expect(await subject.countUsers(address)).toBe(0)
      })

      it.each([
        ['8 characters', '12345678'],
        ['128 characters that are two UTF-16 units each', '\u{1F511}'.repeat(128)],
        ['a NUL', 'correct\0horse'],
      ])('Registering accepts a password with %s', async (_name, strong) => {
        const address = freshAddress()
        await provider.register({ email: address, password: strong, name: '' })
        const id = await confirm(tokenIn(await lastMail(address)), strong)
        expect(await provider.checkPassword(address, strong)).toBe(id)
      })

      it('Registering takes a hostile name as plain text', async () => {
        const address = freshAddress()
        const hostile = `'; drop table users; --\0\ud800${'x'.repeat(500)}`
        await provider.register({ email: address, password, name: hostile })
        await confirm(tokenIn(await lastMail(address)))
        expect((await subject.readUser(address))?.user.name).toMatch(/^'; drop table users; --x{1,200}$/)
      })
    })

    describe('verification links', () => {
      it('A verification link verifies the address it was sent to, once', async () => {
        const address = await register()
        const token = tokenIn(await lastMail(address))
        const id = await confirm(token)
        expect((await subject.readUser(address))?.user).toMatchObject({ id, emailVerified: true })
        await expect(confirm(token)).rejects.toMatchObject(badLink)
      })

      it('A verification link sets its user’s password, and ignores password and name that somebody else registered', async () => {
        const address = await register()
        const id = await confirm(tokenIn(await lastMail(address)), otherPassword)
        expect(await provider.checkPassword(address, otherPassword)).toBe(id)
        await expect(provider.checkPassword(address, password)).rejects.toMatchObject(wrongCredentials)
        expect((await subject.readUser(address))?.user.name).toBe('')
      })

      it('A name given with a verification link replaces the registered one', async () => {
        const address = await register()
        await provider.verifyEmail({ token: tokenIn(await lastMail(address)), password, name: 'Ada L.' })
        expect((await subject.readUser(address))?.user.name).toBe('Ada L.')
      })

      it('A verification link of a registration without password and name works as well', async () => {
        const address = freshAddress()
        await provider.register({ email: address })
        const id = await confirm(tokenIn(await lastMail(address)))
        expect(await provider.checkPassword(address, password)).toBe(id)
      })

      it('A verification link stays valid when the password is refused', async () => {
        const token = tokenIn(await lastMail(await register()))
        for (const weak of ['short', '', ' '.repeat(20), 'correct \udfff horse']) {
          await expect(confirm(token, weak)).rejects.toMatchObject(badPassword)
        }
        await confirm(token)
      })

      it('A verification link completes a user who was created without a password', async () => {
        const address = freshAddress()
        const { user } = await subject.createUser(address)
        await register(address)
        expect(await confirm(tokenIn(await lastMail(address)))).toBe(user.id)
        expect((await subject.readUser(address))?.user.emailVerified).toBe(true)
        expect(await provider.checkPassword(address, password)).toBe(user.id)
      })

      it('A verification link is void for a disabled user, and none is sent to one', async () => {
        const address = freshAddress()
        const { user } = await subject.createUser(address)
        await register(address)
        const token = tokenIn(await lastMail(address))
        await subject.disableUser(user.id)
        await register(address)
        expect(await subject.mailsTo(address)).toHaveLength(1)
        await expect(confirm(token)).rejects.toMatchObject(badLink)
        expect((await subject.readUser(address))?.user.emailVerified).toBe(false)
      })

      it('A verification link used 10 times at once works once', async () => {
        const token = tokenIn(await lastMail(await register()))
        const attempts = Array.from({ length: 10 }, () => confirm(token))
        expect(await race(attempts)).toEqual(oneOf(10, badLink))
      })

      it('A verification link is sent again on request, in any case of the address', async () => {
        const address = await register()
        await provider.resendVerification(address.toUpperCase())
        const [first, second, ...others] = await subject.mailsTo(address)
        expect(others).toEqual([])
        expect(tokenIn(second)).not.toBe(tokenIn(first))
        await confirm(tokenIn(second))
        expect((await subject.readUser(address))?.user.emailVerified).toBe(true)
      })

      it('A verification link is not sent again to users who are verified, disabled or unknown', async () => {
        const { address: verified } = await registerVerified()
        const disabled = freshAddress()
        await subject.disableUser((await subject.createUser(disabled)).user.id)
        const unknown = freshAddress()
        for (const address of [verified, disabled, unknown, 'no address']) {
          const before = await subject.mailsTo(address)
          await expect(provider.resendVerification(address)).resolves.toBeUndefined()
          expect(await subject.mailsTo(address)).toEqual(before)
        }
        expect(await subject.mailsTo(unknown)).toEqual([])
      })

      it('A verification link does not reset a password, and a reset link does not work as one', async () => {
        const verification = tokenIn(await lastMail(await register()))
        await expect(provider.resetPassword(verification, otherPassword)).rejects.toMatchObject(badLink)
        const { address } = await registerVerified()
        await expect(confirm(await forgetPassword(address))).rejects.toMatchObject(badLink)
      })
    })

    it.each(['', 'x', '\0', '\ud800', "' or true --", 'x'.repeat(10_000), randomUUID(), 'A'.repeat(43)])(
      'The text %j is no verification link',
      async (token) => {
        await expect(confirm(token)).rejects.toMatchObject(badLink)
        await expect(provider.resetPassword(token, password)).rejects.toMatchObject(badLink)
      },
    )

    describe('checkPassword', () => {
      it('checkPassword gives the user’s id, in any case of the address', async () => {
        const { address, id } = await registerVerified()
        expect(await provider.checkPassword(address, password)).toBe(id)
        expect(await provider.checkPassword(` ${address.toUpperCase()} `, password)).toBe(id)
      })

      it('checkPassword accepts a password whichever way its characters are composed', async () => {
        const address = freshAddress()
        await provider.register({ email: address, password: 'r\u00e9sum\u00e9 caf\u00e9', name: '' })
        const id = await confirm(tokenIn(await lastMail(address)), 'r\u00e9sum\u00e9 caf\u00e9')
        expect(await provider.checkPassword(address, 're\u0301sume\u0301 cafe\u0301')).toBe(id)
      })

      it('checkPassword refuses wrong, unknown, unverified, disabled and missing passwords in the same words', async () => {
        const { address: known } = await registerVerified()
        const unverified = await register()
        const { address: disabled, id } = await registerVerified()
        await subject.disableUser(id)
        const passwordless = freshAddress()
        await subject.createUser(passwordless)
        const attempts: readonly (readonly [string, string])[] = [
          [known, otherPassword],
          [known, password.toUpperCase()],
          [known, ` ${password}`],
          [known, ''],
          [known, 'x'.repeat(100_000)],
          [freshAddress(), password],
          ['no address', password],
          ['', ''],
          [known, 'correct \ud800 horse'],
          [unverified, password],
          [disabled, password],
          [passwordless, password],
        ]
        const answers = new Set<string>()
        for (const attempt of attempts) {
          const error: unknown = await provider.checkPassword(...attempt).catch((reason: unknown) => reason)
          expect(error).toMatchObject(wrongCredentials)
          answers.add(String(error))
        }
        expect(answers.size).toBe(1)
      })

      it('checkPassword accepts a user who was disabled and is enabled again', async () => {
        const { address, id } = await registerVerified()
        await subject.disableUser(id)
        await subject.enableUser(id)
        expect(await provider.checkPassword(address, password)).toBe(id)
      })

      it('checkPassword refuses an address whose letters only look alike', async () => {
        const kelvin = `mi\u212ae.${randomUUID()}@example.com`
        const mike = kelvin.replace('\u212a', 'k')
        await provider.register({ email: mike, password, name: '' })
        await confirm(tokenIn(await lastMail(mike)))
        await expect(provider.checkPassword(kelvin, password)).rejects.toMatchObject(wrongCredentials)
        const before = await subject.mailsTo(mike)
        await provider.requestPasswordReset(kelvin)
        expect(await subject.mailsTo(mike)).toEqual(before)
      })
    })

    describe('reset links', () => {
      it('A reset link sets a new password, once, and ends every login', async () => {
        const { address, id } = await registerVerified()
        const token = await forgetPassword(address.toUpperCase().toLowerCase())
        const epoch = await epochOf(address)
        expect(await provider.resetPassword(token, otherPassword)).toBe(id)
        expect(await epochOf(address)).toBeGreaterThan(epoch)
        expect((await subject.readUser(address))?.tokensValidAfter).toBeGreaterThan(0)
        expect(await provider.checkPassword(address, otherPassword)).toBe(id)
        await expect(provider.checkPassword(address, password)).rejects.toMatchObject(wrongCredentials)
        await expect(provider.resetPassword(token, password)).rejects.toMatchObject(badLink)
        expect(await provider.checkPassword(address, otherPassword)).toBe(id)
      })

      it('A reset link used 10 times at once works once', async () => {
        const { address, id } = await registerVerified()
        const token = await forgetPassword(address)
        const passwords = Array.from({ length: 10 }, (_, index) => `${otherPassword} ${index}`)
        const outcome = await race(passwords.map((next) => provider.resetPassword(token, next)))
        expect(outcome).toEqual(oneOf(10, badLink))
        for (const [index, next] of passwords.entries()) {
          if (outcome.winners.includes(index)) expect(await provider.checkPassword(address, next)).toBe(id)
          else await expect(provider.checkPassword(address, next)).rejects.toMatchObject(wrongCredentials)
        }
      })

      it('A reset link stays valid when the password is refused', async () => {
        const { address, id } = await registerVerified()
        const token = await forgetPassword(address)
        await expect(provider.resetPassword(token, 'short')).rejects.toMatchObject(badPassword)
        expect(await provider.resetPassword(token, otherPassword)).toBe(id)
      })

      it('A reset link is void once another one was used', async () => {
        const { address, id } = await registerVerified()
        const first = await forgetPassword(address)
        const second = await forgetPassword(address)
        expect(await provider.resetPassword(second, otherPassword)).toBe(id)
        await expect(provider.resetPassword(first, password)).rejects.toMatchObject(badLink)
      })

      it('A reset link also verifies the address and can set a first password', async () => {
        const address = freshAddress()
        const { user, tokenEpoch } = await subject.createUser(address)
        expect(await provider.resetPassword(await forgetPassword(address), password)).toBe(user.id)
        expect(await provider.checkPassword(address, password)).toBe(user.id)
        expect(await epochOf(address)).toBeGreaterThan(tokenEpoch)
      })

      it('A reset requested for an address that was only registered sends a verification link', async () => {
        const address = await register()
        await confirm(await forgetPassword(address), otherPassword)
        await expect(provider.checkPassword(address, password)).rejects.toMatchObject(wrongCredentials)
        expect(await provider.checkPassword(address, otherPassword)).toBe((await subject.readUser(address))?.user.id)
      })

      it('A reset link is not sent to users who are unknown or disabled', async () => {
        const { address: disabled, id } = await registerVerified()
        await subject.disableUser(id)
        for (const address of [disabled, freshAddress(), 'no address']) {
          const before = await subject.mailsTo(address)
          await expect(provider.requestPasswordReset(address)).resolves.toBeUndefined()
          expect(await subject.mailsTo(address)).toEqual(before)
        }
      })

      it('A reset link is void once its user is disabled, even after the user is enabled again', async () => {
        const { address, id } = await registerVerified()
        const token = await forgetPassword(address)
        await subject.disableUser(id)
        await expect(provider.resetPassword(token, otherPassword)).rejects.toMatchObject(badLink)
        await subject.enableUser(id)
        await expect(provider.resetPassword(token, otherPassword)).rejects.toMatchObject(badLink)
        expect(await provider.checkPassword(address, password)).toBe(id)
      })
    })

    describe('changePassword', () => {
      it('changePassword needs the current password, ends every login and voids reset links', async () => {
        const { address, id } = await registerVerified()
        const token = await forgetPassword(address)
        const epoch = await epochOf(address)
        await provider.changePassword(id, password, otherPassword)
        expect(await epochOf(address)).toBeGreaterThan(epoch)
        expect(await provider.checkPassword(address, otherPassword)).toBe(id)
        await expect(provider.checkPassword(address, password)).rejects.toMatchObject(wrongCredentials)
        await expect(provider.resetPassword(token, password)).rejects.toMatchObject(badLink)
      })

      it('changePassword refuses a wrong password, a weak new one and unknown users, and then ends no login', async () => {
        const { address, id } = await registerVerified()
        const before = await subject.readUser(address)
        await expect(provider.changePassword(id, otherPassword, otherPassword)).rejects.toMatchObject(wrongCredentials)
        await expect(provider.changePassword(randomUUID(), password, otherPassword)).rejects.toMatchObject(
          wrongCredentials,
        )
        await expect(provider.changePassword("' or true --", password, otherPassword)).rejects.toMatchObject(
          wrongCredentials,
        )
        await expect(provider.changePassword(id, password, 'short')).rejects.toMatchObject(badPassword)
        expect(await subject.readUser(address)).toEqual(before)
        expect(await provider.checkPassword(address, password)).toBe(id)
      })

      it('Of several simultaneous changePassword calls from one password, one works', async () => {
        const { id } = await registerVerified()
        const changes = Array.from({ length: 6 }, (_, index) =>
          provider.changePassword(id, password, `${otherPassword} ${index}`),
        )
        expect(await race(changes)).toEqual(oneOf(6, wrongCredentials))
      })
    })

    describe('updateProfile', () => {
      it('updateProfile changes the given fields, leaves the others and ends no login', async () => {
        const { address, id } = await registerVerified()
        const epoch = await epochOf(address)
        const image = 'https://example.com/ada.png'
        expect(await provider.updateProfile(id, { name: 'Ada L.' })).toMatchObject({ id, name: 'Ada L.', image: null })
        expect(await provider.updateProfile(id, { image })).toMatchObject({ name: 'Ada L.', image })
        const same = await provider.updateProfile(id, {})
        expect(same).toEqual((await subject.readUser(address))?.user)
        expect(same).toMatchObject({ name: 'Ada L.', image, email: address, emailVerified: true })
        expect(await provider.updateProfile(id, { image: null })).toMatchObject({ name: 'Ada L.', image: null })
        expect(await epochOf(address)).toBe(epoch)
      })

      it.each(['', 'ada.png', 'javascript:alert(1)', 'data:text/html,x', `https://example.com/${'x'.repeat(3000)}`])(
        'updateProfile refuses the image %j',
        async (image) => {
          const { id } = await registerVerified()
          await expect(provider.updateProfile(id, { image })).rejects.toMatchObject(badRequest)
        },
      )

      it.each([randomUUID(), '', "' or true --", '\0'])('updateProfile knows no user %j', async (id) => {
        await expect(provider.updateProfile(id, { name: 'Ada' })).rejects.toMatchObject(noUser)
        await expect(provider.updateProfile(id, {})).rejects.toMatchObject(noUser)
      })
    })
  })

  it(`${name}: A catalog that does not answer is an outage, never a wrong password or a bad link`, async () => {
    const cut = await makeProvider()
    try {
      const { provider } = cut
      const email = 'ada@example.com'
      await provider.register({ email, password, name: '' })
      const [mail] = await cut.mailsTo(email)
      const id = await provider.verifyEmail({ token: tokenIn(mail), password })
      await provider.requestPasswordReset(email)
      const token = tokenIn((await cut.mailsTo(email)).at(-1))
      await cut.cutCatalog()
      await expect(provider.register({ email: 'new@example.com', password, name: '' })).rejects.toMatchObject(outage)
      await expect(provider.register({ email, password, name: '' })).rejects.toMatchObject(outage)
      await expect(provider.verifyEmail({ token, password })).rejects.toMatchObject(outage)
      await expect(provider.resendVerification(email)).rejects.toMatchObject(outage)
      await expect(provider.checkPassword(email, password)).rejects.toMatchObject(outage)
      await expect(provider.requestPasswordReset(email)).rejects.toMatchObject(outage)
      await expect(provider.resetPassword(token, otherPassword)).rejects.toMatchObject(outage)
      await expect(provider.changePassword(id, password, otherPassword)).rejects.toMatchObject(outage)
      await expect(provider.updateProfile(id, { name: 'Ada' })).rejects.toMatchObject(outage)
    } finally {
      await cut.close()
    }
  })
}

/** The results of equal attempts: the indexes of those that succeeded, and the errors of the others. */
async function race(attempts: readonly Promise<unknown>[]) {
  const results = await Promise.allSettled(attempts)
  return {
    winners: [...results.entries()].filter(([, { status }]) => status === 'fulfilled').map(([place]) => place),
    errors: results.filter((result) => result.status === 'rejected').map(({ reason }): unknown => reason),
  }
}

const anyPlace: unknown = expect.any(Number)

/** One succeeded, and all others were refused like this. */
function oneOf(count: number, refusal: { readonly code: TenancyErrorCode }) {
  const errors: unknown[] = Array.from({ length: count - 1 }, () => expect.objectContaining(refusal))
  return { winners: [anyPlace], errors }
}
