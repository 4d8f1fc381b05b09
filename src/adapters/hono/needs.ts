import type { MiddlewareHandler } from 'hono'
import { TenancyError } from '../../core/errors/errors.js'
import type { Tenant, User } from '../../core/model.js'
import type { RouteNeeds } from '../../core/request-path.js'
import { partKey } from './chain.js'

/** What handlers behind {@link needs} know of the variables. */
interface NeededVariables {
  readonly tenant: { tenant: Tenant }
  readonly user: { user: User }
  readonly none: object
}

/**
 * Says what routes need: `tenant` (the default: a member of an active tenant), `user` (any user; the request has no tenant),
 * or `none` (anybody; the request has neither). In a route it is for that route, and goes before its handlers; by `app.use()`
 * it is for the routes behind it. What a route says counts before what is said around it, and there the strictest counts.
 *
 * It says so to the middleware, which runs before it: by itself it refuses nobody.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID: none of the three
 * @example
 * app.get('/health', needs('none'), (c) => c.text('ok'))
 * app.use('/me/*', needs('user'))
 */
export function needs<Needs extends RouteNeeds>(what: Needs): MiddlewareHandler<{ Variables: NeededVariables[Needs] }> {
  if (!['tenant', 'user', 'none'].includes(what)) {
    throw new TenancyError(
      'TENANCY_CONFIG_INVALID',
      `needs() takes 'tenant', 'user' or 'none', not ${JSON.stringify(what)}`,
    )
  }
  return Object.assign(passOn.bind(undefined), { [partKey]: { kind: 'needs', needs: what } })
}

const passOn: MiddlewareHandler = (_c, next) => next()
