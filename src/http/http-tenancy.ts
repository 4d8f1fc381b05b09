import type { AccessRules } from '../core/access/access.js'
import type { RequestPipeline } from './pipeline.js'

/** The part of a tenancy that HTTP adapters use. */
export interface HttpTenancy {
  readonly pipeline: RequestPipeline
  readonly rules: Pick<AccessRules, 'guard' | 'knows'>
  /** `TENANT_URL_PREFIX`: the path segment that the tenant parameter follows. */
  readonly urlPrefix: string
  /** `TENANT_AUTH_PREFIX`: where accounts are mounted, such as `/auth`. */
  readonly authPrefix: string
  /** The public keys of our own tokens, for `/.well-known/jwks.json` (RFC 7517). */
  jwks(): object | Promise<object>
}

/** Accounts as adapters mount them: a request with its raw body in, a response out. */
export type AccountsHandler = (
  request: Request,
  connection: {
    /** The other end of the socket, whatever headers say about proxies; `unix:` for a Unix socket. */
    readonly remoteAddress: string | undefined
    /**
     * Path and query as they stood in the request line (RFC 9112, 3.2.1). Give it: a `Request` has resolved `..` and the like
     * in its address, so that a path passes here which a proxy's rules did not mean to let through. Default: those of the request.
     */
    readonly target?: string | undefined
    /** The request's id, for problem documents. Default: none. */
    readonly requestId?: string | undefined
  },
) => Promise<Response>

/** The longest body that accounts take; adapters need to read no more. */
export const maxAccountsBodyBytes = 16 * 1024
