import { TenancyError } from '../../core/errors/errors.js'
import type { TokenAnswer } from '../logins.js'
import { answerJson, answerNothing } from '../../http/messages/answers.js'
import { answerTokenError } from './token-error.js'
import { readBody } from './body.js'
import type { AccountCall, RouteParts, RouteTable } from './route-table.js'
import { parseFields } from '../../http/messages/fields.js'
import { schemas } from './schemas.js'

/** `/login`, its OAuth 2.0 twin `/token`, and `/logout`. */
export function loginRoutes({ host, logins, limits }: RouteParts): RouteTable {
  async function login({ address }: AccountCall, email: string, password: string): Promise<TokenAnswer> {
    const attempt = await limits.attempt('login', { account: email, address })
    const answer = await logins.begin(email, password)
    await attempt.succeeded()
    return answer
  }

  async function grant(call: AccountCall): Promise<Response> {
    const fields = (await readBody(call.request, ['application/x-www-form-urlencoded']))?.fields ?? {}
    const { grant_type: named, username, password } = parseFields(schemas.tokenRequest, fields)
    const type = named ?? (username !== undefined && password !== undefined ? 'password' : undefined)
    switch (type) {
      case undefined:
        throw new TenancyError('TENANCY_REQUEST_INVALID', 'grant_type must be given as text')
      case 'password': {
        const credentials = parseFields(schemas.passwordGrant, fields)
        return answerTokens(await login(call, credentials.username, credentials.password))
      }
      case 'refresh_token': {
        const { refresh_token: refreshToken } = parseFields(schemas.refreshGrant, fields)
        return answerTokens(await logins.refresh(refreshToken))
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
        const { email, password } = parseFields(schemas.credentials, body?.fields)
        return answerTokens(await login(call, email, password))
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
        const user = await host.authenticate(request.headers.get('authorization') ?? undefined)
        const body = await readBody(request, ['application/json'])
        const { refresh_token: refreshToken, everywhere = false } = parseFields(schemas.logout, body?.fields ?? {})
        await logins.end(user.id, everywhere ? undefined : refreshToken)
        return answerNothing()
      },
    },
  }
}

/** RFC 6749, 5.1. */
function answerTokens(tokens: TokenAnswer): Response {
  return answerJson(200, tokens, { pragma: 'no-cache' })
}
