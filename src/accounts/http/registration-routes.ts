import type { Confirmation } from '../../core/accounts/accounts.js'
import { findTenancyError } from '../../core/errors/errors.js'
import { answerJson } from '../../http/messages/answers.js'
import { readBody } from './body.js'
import { confirmationPage, messagePage, problemPage, readLinkToken } from './pages.js'
import type { RouteParts, RouteTable } from './route-table.js'
import { parseFields } from '../../http/messages/fields.js'
import { schemas } from './schemas.js'
import { trustOwner } from './trust-owner.js'

/** Routes for registering and verifying addresses. */
export function registrationRoutes({ host, provider, limits }: RouteParts): RouteTable {
  async function confirm(confirmation: Confirmation, address: string): Promise<void> {
    const userId = await provider.verifyEmail(confirmation)
    host.forgetUser(userId)
    await trustOwner({ host, limits }, userId, address)
  }

  return {
    '/register': {
      async POST({ request, address }) {
        const body = await readBody(request, ['application/json'])
        const registration = parseFields(schemas.registration, body?.fields)
        await limits.attempt('register', { account: registration.email, address })
        await provider.register(registration)
        return answerJson(202, {})
      },
    },
    '/verify-email': {
      async GET({ query }) {
        return readLinkToken(query, confirmationPage)
      },
      async POST({ request, address }) {
        const body = await readBody(request, ['application/json', 'application/x-www-form-urlencoded'])
        if (body?.type !== 'application/x-www-form-urlencoded') {
          await confirm(parseFields(schemas.confirmation, body?.fields), address)
          return answerJson(200, {})
        }
        try {
          const { token, password } = parseFields(schemas.passwordForm, body.fields)
          try {
            await confirm({ token, password }, address)
          } catch (error) {
            const refusal = findTenancyError(error, 'TENANCY_ACCOUNTS_PASSWORD_INVALID')
            if (refusal === undefined) throw error
            return confirmationPage(token, { status: refusal.statusCode, text: refusal.message })
          }
          return messagePage(
            200,
            'Your e-mail address is confirmed',
            'Log in with the password that you have set. You can close this page.',
          )
        } catch (error) {
          return problemPage(error, host.logger)
        }
      },
    },
    '/verify-email/resend': {
      async POST({ request, address }) {
        const body = await readBody(request, ['application/json'])
        const { email } = parseFields(schemas.address, body?.fields)
        await limits.attempt('resend', { account: email, address })
        await provider.resendVerification(email)
        return answerJson(202, {})
      },
    },
  }
}
