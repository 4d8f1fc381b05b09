import { findTenancyError } from '../../core/errors/errors.js'
import { answerJson, answerNothing } from '../../http/messages/answers.js'
import { readBody } from './body.js'
import { messagePage, passwordPage, problemPage, readLinkToken } from './pages.js'
import type { RouteParts, RouteTable } from './route-table.js'
import { parseFields } from '../../http/messages/fields.js'
import { schemas } from './schemas.js'
import { trustOwner } from './trust-owner.js'

/** Routes for forgotten and changed passwords. Setting a password ends every login of the user. */
export function passwordRoutes({ host, provider, limits }: RouteParts): RouteTable {
  async function reset(token: string, password: string, address: string): Promise<void> {
    const userId = await provider.resetPassword(token, password)
    host.forgetUser(userId)
    await trustOwner({ host, limits }, userId, address)
  }

  return {
    '/password/forgot': {
      async POST({ request, address }) {
        const body = await readBody(request, ['application/json'])
        const { email } = parseFields(schemas.address, body?.fields)
        await limits.attempt('reset', { account: email, address })
        await provider.requestPasswordReset(email)
        return answerJson(202, {})
      },
    },
    '/password/reset': {
      async GET({ query }) {
        return readLinkToken(query, passwordPage)
      },
      async POST({ request, address }) {
        const body = await readBody(request, ['application/json', 'application/x-www-form-urlencoded'])
        if (body?.type !== 'application/x-www-form-urlencoded') {
          const { token, password } = parseFields(schemas.passwordReset, body?.fields)
          await reset(token, password, address)
          return answerNothing()
        }
        try {
          const { token, password } = parseFields(schemas.passwordForm, body.fields)
          try {
            await reset(token, password, address)
          } catch (error) {
            const refusal = findTenancyError(error, 'TENANCY_ACCOUNTS_PASSWORD_INVALID')
            if (refusal === undefined) throw error
            return passwordPage(token, { status: refusal.statusCode, text: refusal.message })
          }
          return messagePage(200, 'Your password is set', 'Log in with the new password. You can close this page.')
        } catch (error) {
          return problemPage(error, host.logger)
        }
      },
    },
    '/password/change': {
      async POST({ request, address }) {
        const user = await host.authenticate(request.headers.get('authorization') ?? undefined)
        const body = await readBody(request, ['application/json'])
        const { current, next } = parseFields(schemas.passwordChange, body?.fields)
        // Without a limit, a stolen access token would allow guessing the password.
        const attempt = await limits.attempt('login', { account: user.email, address })
        await provider.changePassword(user.id, current, next)
        host.forgetUser(user.id)
        await attempt.succeeded()
        return answerNothing()
      },
    },
  }
}
