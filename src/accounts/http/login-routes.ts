import { TenancyError } from '../../core/errors/errors.js'
import type { Login } from '../logins.js'
import { answerJson, answerNothing } from '../../http/messages/answers.js'
import { answerTokenError } from './token-error.js'
import { readBody } from './body.js'
import { deviceOf } from './device.js'
import type { AccountCall, RouteParts, RouteTable } from './route-table.js'
import { parseFields } from '../../http/messages/fields.js'
import { refuseRequest } from '../../http/messages/refusals.js'
import { schemas } from './schemas.js'

/** `/login`, its OAuth 2.0 twin `/token`, and `/logout`. */
export function loginRoutes({ host, logins, limits, cookie }: RouteParts): RouteTable {
  async function login({ request, address }: AccountCall, email: string, password: string, inCookie = false) {
    const attempt = await limits.attempt('login', { account: email, address })
    const answer = await logins.begin(email, password, { inCookie, device: deviceOf(request, address) })
    await attempt.succeeded()
    return answer
  }

  /** Answers with the refresh token in the cookie, and not in the body. */
  function answerInCookie({ refresh_token: refreshToken, ...rest }: Login): Response {
    return answerTokens(rest, cookie.store(refreshToken, rest.remainingSeconds))
  }

  async function refreshByCookie({ request, address }: AccountCall, tenant: string | undefined): Promise<Response> {
    cookie.requireOrigin(request)
    const token = cookie.read(request)
    if (token === undefined) throw new TenancyError('TENANCY_ACCOUNTS_GRANT_INVALID')
    // A refusal leaves the cookie alone: another tab may have logged in and stored a new one meanwhile.
    return answerInCookie(await logins.refresh(token, { tenant, inCookie: true, device: deviceOf(request, address) }))
  }

  async function grant(call: AccountCall): Promise<Response> {
    const { request, address } = call
    const fields = (await readBody(request, ['application/x-www-form-urlencoded']))?.fields ?? {}
    const { grant_type: named, username, password } = parseFields(schemas.tokenRequest, fields)
    const type = named ?? (username !== undefined && password !== undefined ? 'password' : undefined)
    switch (type) {
      case undefined:
        throw refuseRequest('grant_type must be given as text', { pointer: '#/grant_type' })
      case 'password': {
        const credentials = parseFields(schemas.passwordGrant, fields)
        return answerTokens(await login(call, credentials.username, credentials.password))
      }
      case 'refresh_token': {
        const { refresh_token: refreshToken, tenant } = parseFields(schemas.refreshGrant, fields)
        if (refreshToken !== undefined) {
          return answerTokens(await logins.refresh(refreshToken, { tenant, device: deviceOf(request, address) }))
        }
        if (cookie.read(request) === undefined) {
          throw refuseRequest('refresh_token must be given as text', { pointer: '#/refresh_token' })
        }
        return refreshByCookie(call, tenant)
      }
      default:
        return answerJson(
          400,
          { error: 'unsupported_grant_type', error_description: 'Use password or refresh_token' },
          { pragma: 'no-cache' },
        )
    }
  }

  return {
    '/login': {
      async POST(call) {
        const body = await readBody(call.request, ['application/json'])
        const { email, password, cookie: inCookie = false } = parseFields(schemas.credentials, body?.fields)
        if (!inCookie) return answerTokens(await login(call, email, password))
        // Another site could log its visitor in to an account of its own.
        cookie.requireOrigin(call.request)
        return answerInCookie(await login(call, email, password, inCookie))
      },
    },
    '/token': {
      async POST(call) {
        try {
          return await grant(call)
        } catch (error) {
          return answerTokenError(error, host.logger)
        }
      },
    },
    '/logout': {
      async POST({ request }) {
        const authorization = request.headers.get('authorization') ?? undefined
        const held = authorization === undefined ? cookie.read(request) : undefined
        if (held !== undefined) {
          cookie.requireOrigin(request)
          const body = await readBody(request, ['application/json'])
          const { everywhere = false } = parseFields(schemas.cookieLogout, body?.fields ?? {})
          await logins.endByToken(held, { everywhere })
          return answerNothing(cookie.remove())
        }
        const user = await host.authenticate(authorization)
        const body = await readBody(request, ['application/json'])
        const { refresh_token: refreshToken, everywhere = false } = parseFields(schemas.logout, body?.fields ?? {})
        await logins.end(user.id, everywhere ? undefined : refreshToken)
        return answerNothing()
      },
    },
  }
}

/** RFC 6749, 5.1. The refresh token may be left out. */
function answerTokens(
  login: Omit<Login, 'refresh_token'> & Partial<Pick<Login, 'refresh_token'>>,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const { access_token, token_type, expires_in, refresh_token, tenant } = login
  return answerJson(
    200,
    { access_token, token_type, expires_in, refresh_token, tenant },
    { pragma: 'no-cache', ...headers },
  )
}
