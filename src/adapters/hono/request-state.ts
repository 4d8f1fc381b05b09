import type { Context } from 'hono'
import { unixSocketRange } from '../../core/address-range.js'
import type { RequestContext } from '../../core/context/request-scope.js'
import type { Logger } from '../../core/logger.js'
import type { Tenant, User } from '../../core/model.js'
import type { ClientAddress } from '../../http/client-address.js'
import { HttpRequestScope } from '../../http/http-request-scope.js'
import type { GuardDemands } from '../../http/routes/chain-guard.js'

/** The variables of a request. */
export interface TenancyVariables {
  /** Who makes the request. Undefined: nobody is authenticated, or a program with an API key is. */
  user: User | undefined
  /** The tenant that the request is for. Undefined: the route needs none. */
  tenant: Tenant | undefined
}

/** The type of an application whose requests have {@link TenancyVariables}: `new Hono<TenancyEnv>()`. */
export interface TenancyEnv {
  Variables: TenancyVariables
}

/** What the middleware knows of a request. */
export interface RequestState {
  readonly requestId: string
  readonly logger: Logger
  readonly demands: GuardDemands
  /** Undefined until the context is found. */
  scope: HonoRequestScope | undefined
}

const states = new WeakMap<Context, RequestState>()

/** Gives the state of a request; undefined: the middleware has not run for it. */
export function stateOf(c: Context): RequestState | undefined {
  return states.get(c)
}

export function setState(c: Context, state: RequestState): void {
  states.set(c, state)
}

/** The part of Node's request that is read: `@hono/node-server` hands it over as `c.env.incoming`. */
interface Incoming {
  readonly url?: string | undefined
  readonly socket?: {
    readonly remoteAddress?: string | undefined
    readonly server?: { address?(): unknown } | undefined
  }
}

/** Finds what the server knows of a connection. Undefined: it is not `@hono/node-server`, or there is none. */
function incomingOf(c: Context): Incoming | undefined {
  const env = c.env as { readonly incoming?: Incoming; readonly server?: { readonly incoming?: Incoming } } | undefined
  return env?.server?.incoming ?? env?.incoming
}

/** Path and query of a request as its request line has them, where that is known; else as the `Request` does. */
export function targetOf(c: Context): string {
  const url = incomingOf(c)?.url
  if (url !== undefined) return url
  const { pathname, search } = new URL(c.req.url)
  return pathname + search
}

/** The other end of the socket; `unix:` for a Unix socket. Undefined: nobody knows. */
export function remoteAddressOf(c: Context): string | undefined {
  const socket = incomingOf(c)?.socket
  if (socket?.remoteAddress !== undefined) return socket.remoteAddress
  return typeof socket?.server?.address?.() === 'string' ? unixSocketRange : undefined
}

/** The scope of a Hono request. It is aborted when the request's signal is. */
export class HonoRequestScope extends HttpRequestScope {
  readonly #c: Context
  override readonly requestId: string
  readonly remoteAddress: string | undefined

  constructor(context: RequestContext, c: Context, facts: HonoRequestFacts) {
    super(context, facts.clientAddress)
    this.#c = c
    this.requestId = facts.requestId
    this.remoteAddress = facts.remoteAddress
  }

  protected override get forwardedFor(): string | undefined {
    return this.#c.req.header('x-forwarded-for')
  }

  override get isAborted(): boolean {
    return this.#c.req.raw.signal.aborted
  }

  protected override listenForAbort(call: () => void): void {
    this.#c.req.raw.signal.addEventListener('abort', call, { once: true })
  }
}

/** What {@link HonoRequestScope} is made of. */
export interface HonoRequestFacts {
  readonly requestId: string
  readonly remoteAddress: string | undefined
  readonly clientAddress: ClientAddress
}
