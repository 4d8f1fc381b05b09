import { unixSocketRange } from '../../core/address-range.js'
import { RequestScope, runInScope } from '../../core/context/request-scope.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { AccountsHandler } from '../../http/http-tenancy.js'
import { auditOriginOf } from '../../http/audit-origin.js'
import type { ClientAddress } from '../../http/client-address.js'
import { anonymousContext } from '../../http/pipeline.js'
import { answerNothing, answerProblem } from '../../http/messages/answers.js'
import type { AddressChanges } from '../address-change.js'
import { addressRoutes } from './address-routes.js'
import { loginRoutes } from './login-routes.js'
import { passwordRoutes } from './password-routes.js'
import { profileRoutes } from './profile-routes.js'
import { registrationRoutes } from './registration-routes.js'
import type { RouteHandler, RouteParts } from './route-table.js'
import { splitTarget } from '../../http/messages/strict-text.js'

/** The parts that {@link createAccountRoutes} needs. */
export interface AccountRoutesParts extends RouteParts {
  readonly clientAddress: ClientAddress
  /** Undefined: addresses are not changed here. */
  readonly addressChanges: AddressChanges | undefined
}

/**
 * Creates the handler of accounts, below `TENANT_AUTH_PREFIX`. Callers authenticate with a bearer token or a password. A
 * refresh token may be in a cookie, if the login asked for that: then, and only then, the origin of a request matters. The
 * handler never rejects.
 */
export function createAccountRoutes({ clientAddress, addressChanges, ...parts }: AccountRoutesParts): AccountsHandler {
  const { config, logger } = parts.host
  const prefix = config.authPrefix
  const tables = [
    ...[loginRoutes(parts), registrationRoutes(parts), passwordRoutes(parts), profileRoutes(parts)],
    ...(addressChanges === undefined ? [] : [addressRoutes(parts, addressChanges)]),
  ]
  const routes = new Map<string, ReadonlyMap<string, RouteHandler>>()
  for (const table of tables) {
    for (const [path, methods] of Object.entries(table)) routes.set(prefix + path, new Map(Object.entries(methods)))
  }

  let hasWarned = false
  function addressOf(request: Request, remoteAddress: string | undefined): string {
    const address = clientAddress({ remoteAddress, forwardedFor: request.headers.get('x-forwarded-for') })
    if (address === unixSocketRange && !hasWarned) {
      hasWarned = true
      logger.warn(
        {},
        'Requests come through a Unix socket, so all clients share the limits of one address: set TENANT_TRUSTED_PROXIES=unix: if the proxy in front sends X-Forwarded-For',
      )
    }
    return address
  }

  async function answer(request: Request, connection: Parameters<AccountsHandler>[1]): Promise<Response> {
    const { pathname, search } = new URL(request.url)
    const { path, query } = splitTarget(connection.target ?? pathname + search)
    const methods = routes.get(path)
    if (!methods) throw new TenancyError('TENANCY_REQUEST_PATH_UNKNOWN')
    const handle = methods.get(request.method === 'HEAD' ? 'GET' : request.method)
    if (handle) {
      const address = addressOf(request, connection.remoteAddress)
      const origin = auditOriginOf(anonymousContext, { requestId: connection.requestId, address })
      return runInScope(new RequestScope(anonymousContext, { origin }), () => handle({ request, query, address }))
    }
    const allowedMethods = [...methods.keys(), ...(methods.has('GET') ? ['HEAD'] : []), 'OPTIONS']
    const allow = allowedMethods.join(', ')
    if (request.method === 'OPTIONS') return answerNothing({ allow })
    throw new TenancyError('TENANCY_REQUEST_METHOD_UNSUPPORTED', `Use ${allow}`, { allowedMethods })
  }

  return async (request, connection) => {
    const { requestId } = connection
    const response = await answer(request, connection).catch((error: unknown) =>
      answerProblem(error, logger, { requestId }),
    )
    return request.method === 'HEAD' ? new Response(null, response) : response
  }
}
