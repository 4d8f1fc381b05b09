import type { AccessRules } from '../core/access/access.js'
import type { SchemaDemands } from '../core/tenants/schema-demands.js'
import type { ClientAddress } from './client-address.js'
import type { PlainAnswer } from './messages/answers.js'
import type { RequestPipeline } from './pipeline.js'

/** The part of a tenancy that HTTP adapters use. */
export interface HttpTenancy {
  readonly pipeline: RequestPipeline
  readonly rules: Pick<AccessRules, 'guard' | 'knows' | 'epoch'>
  /** Migrations that routes may demand of the tenant's schema. */
  readonly schema: Pick<SchemaDemands, 'versionOf' | 'require'>
  /** `TENANT_URL_PREFIX`: the path segment that the tenant parameter follows. */
  readonly urlPrefix: string
  /** `TENANT_AUTH_PREFIX`: the path below which accounts are mounted, such as `/auth`. */
  readonly authPrefix: string
  /** Finds the address of a client behind `TENANT_TRUSTED_PROXIES`, for the audit log. */
  readonly clientAddress: ClientAddress
  /** The public keys of our own tokens, for `/.well-known/jwks.json` (RFC 7517). */
  jwks(): object | Promise<object>
}

/** The handler of the management API that adapters mount: as {@link AccountsHandler}. It never rejects. */
export type ApiHandler = AccountsHandler

/** The part of a `Request` that the management API reads. */
export interface ApiRequest {
  /** In upper case. */
  readonly method: string
  readonly headers: Pick<Headers, 'get'>
  /** Chunks of the body; null: there is none. */
  readonly body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | null
}

/** {@link ApiHandler} for frameworks that have no `Request` of their own: a `Response` where the body is a stream or a file. It answers at once what it knows, and neither throws nor rejects. */
export type PlainApiHandler = (
  request: ApiRequest,
  connection: Parameters<ApiHandler>[1] & { readonly target: string },
) => PlainAnswer | Response | Promise<PlainAnswer | Response>

/** The longest body that the management API accepts, in bytes. Adapters need not read more. */
export const maxApiBodyBytes = 64 * 1024

/** The handler of accounts that adapters mount. It takes a request with its raw body and returns a response. */
export type AccountsHandler = (
  request: Request,
  connection: {
    /** The address of the other end of the socket, which no header changes; `unix:` for a Unix socket. */
    readonly remoteAddress: string | undefined
    /**
     * Path and query exactly as in the request line (RFC 9112, 3.2.1). Adapters should give it: a `Request` resolves `..` and
     * the like in its URL, so that a path could pass which a proxy's rules meant to stop. Default: those of the request.
     */
    readonly target?: string | undefined
    /** The request's id, for problem documents. Default: none. */
    readonly requestId?: string | undefined
  },
) => Promise<Response>

/** The longest body that accounts accept, in bytes. Adapters need not read more. */
export const maxAccountsBodyBytes = 16 * 1024
