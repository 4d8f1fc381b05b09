import type { AccessRules } from '../core/access.js'
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
  connection: { readonly remoteAddress: string | undefined },
) => Promise<Response>
