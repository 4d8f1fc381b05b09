import { findTenancyError } from '../../core/errors.js'
import { answerJson, answerNothing } from './answers.js'
import { readBody } from './body.js'
import { messagePage, passwordPage, problemPage, readLinkToken } from './pages.js'
import type { RouteParts, RouteTable } from './route-table.js'
import { parseFields, schemas } from './schemas.js'

/** Passwords that are forgotten, and changed. Both ends every login of the user. */
export function passwordRoutes({ host, provider, limits }: RouteParts): RouteTable {
  async function reset(token: string, password: string, address: string): Promise<void> {
    const userId = await provider.resetPassword(token, password)
    host.forgetUser(userId)
    try {
      const { rows } = await host.catalog.query<{ email: string }>('select email from users where id = $1', [userId])
      // Whoever reads the owner's mail need not wait for attempts of others to be forgotten.
      if (rows[0]) await limits.succeeded('login', { account: rows[0].email, address })
    } catch (error) {
      host.logger.warn({ userId, error: String(error) }, 'Attempts to log in were not forgotten after a password reset')
    }
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
      async GET({ request }) {
        return readLinkToken(request, passwordPage)
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
        const subject = { account: user.email, address }
        // A stolen access token is no way to guess the password without limit.
        await limits.attempt('login', subject)
        await provider.changePassword(user.id, current, next)
        host.forgetUser(user.id)
        await limits.succeeded('login', subject)
        return answerNothing()
      },
    },
  }
}
