import { randomUUID } from 'node:crypto'
import { problemOf } from '../../http/foreign-problem.js'
import type { AccountsHandler, ApiHandler, HttpTenancy } from '../../http/http-tenancy.js'
import { privateHeaders, toResponse } from '../../http/messages/answers.js'
import { splitTarget } from '../../http/messages/strict-text.js'

export type { AccountsHandler, ApiHandler } from '../../http/http-tenancy.js'

/** What {@link createWebHandler} serves. */
export interface WebHandlerOptions {
  /** From `createTenancy()`. */
  readonly tenancy: Pick<HttpTenancy, 'authPrefix' | 'jwks'>
  /** From `createApi()`. */
  readonly api: { readonly handle: ApiHandler }
  /** From `createAccounts()`: serves accounts under `TENANT_AUTH_PREFIX`. Default: none. */
  readonly accounts?: { readonly handle: AccountsHandler } | undefined
  /**
   * Path that everything but accounts is below, such as `/api`; `TENANT_AUTH_PREFIX` names the whole path of accounts. Default:
   * none.
   */
  readonly basePath?: string | undefined
}

/** Answers a request. `connection` is what the platform knows of the other end; without it, limits count all as one address. */
export type WebHandler = (request: Request, connection?: Partial<Parameters<ApiHandler>[1]>) => Promise<Response>

/**
 * Serves the management API, accounts and our public keys wherever requests are `Request`s: route handlers of Next.js, Bun,
 * Deno, Hono. A path that none of them has is answered 404; it never rejects.
 *
 * @example
 * const handle = createWebHandler({ tenancy, api, accounts })
 * export { handle as GET, handle as POST, handle as PUT, handle as PATCH, handle as DELETE }
 */
export function createWebHandler({ tenancy, api, accounts, basePath = '' }: WebHandlerOptions): WebHandler {
  return async (request, connection = {}) => {
    const { pathname, search } = new URL(request.url)
    const whole = connection.target ?? pathname + search
    const facts = { remoteAddress: undefined, requestId: randomUUID(), ...connection }
    const isAccounts = splitTarget(whole).path.startsWith(`${tenancy.authPrefix}/`)
    if (isAccounts && accounts !== undefined) return accounts.handle(request, facts)
    // Nothing is at the root: what is not below the base path is answered 404, as everything unknown is.
    const target = whole.startsWith(`${basePath}/`) ? whole.slice(basePath.length) : '/'
    const { path } = splitTarget(target)
    if (path === '/.well-known/jwks.json' && request.method === 'GET') return answerKeys(tenancy, facts)
    return api.handle(request, { ...facts, target })
  }
}

async function answerKeys(
  tenancy: Pick<HttpTenancy, 'jwks'>,
  { requestId }: { readonly requestId: string | undefined },
): Promise<Response> {
  try {
    return Response.json(await tenancy.jwks())
  } catch (error) {
    const { status, headers, body } = problemOf(error, { requestId })
    return toResponse({ status, headers: [privateHeaders, headers], body })
  }
}
