import type { AccountProvider, AccountsHost } from '../../core/accounts/accounts.js'
import type { AttemptLimits } from '../limits/attempt-limits.js'
import type { Logins } from '../logins.js'

/** A request for one of the routes. */
export interface AccountCall {
  readonly request: Request
  /** What follows the `?` of the request target, as it came. */
  readonly query: string
  /** Where it comes from, proxies considered. */
  readonly address: string
}

/** Answers a request, or throws a `TenancyError` that becomes a problem document. */
export type RouteHandler = (call: AccountCall) => Promise<Response>

/** Handlers by path below the prefix, and method. HEAD is answered as GET without a body. */
export type RouteTable = Readonly<Record<string, Readonly<Partial<Record<'GET' | 'POST' | 'PATCH', RouteHandler>>>>>

/** What the routes are put together from. */
export interface RouteParts {
  readonly host: AccountsHost
  readonly provider: AccountProvider
  readonly logins: Logins
  readonly limits: AttemptLimits
}
