import type { AccountProvider, AccountsHost } from '../../core/accounts/accounts.js'
import type { AttemptLimits } from '../limits/attempt-limits.js'
import type { Logins } from '../logins.js'
import type { SessionCookie } from './session-cookie.js'

/** A request to one of the routes. */
export interface AccountCall {
  readonly request: Request
  /** The part of the request target after `?`, undecoded. */
  readonly query: string
  /** The client's address, behind trusted proxies. */
  readonly address: string
}

/** Answers a request, or throws a `TenancyError` that becomes a problem document. */
export type RouteHandler = (call: AccountCall) => Promise<Response>

/** Handlers by path below the prefix and by method. HEAD is answered like GET, without a body. */
export type RouteTable = Readonly<Record<string, Readonly<Partial<Record<'GET' | 'POST' | 'PATCH', RouteHandler>>>>>

/** The parts that the routes need. */
export interface RouteParts {
  readonly host: AccountsHost
  readonly provider: AccountProvider
  readonly logins: Logins
  readonly limits: AttemptLimits
  readonly cookie: SessionCookie
}
