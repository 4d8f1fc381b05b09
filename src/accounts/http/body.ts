import { maxAccountsBodyBytes } from '../../http/http-tenancy.js'
import { type BodyType, readBody as readAnyBody, type RequestBody } from '../../http/messages/body.js'

/**
 * Reads the body of a request for accounts; undefined when it has neither a body nor a content type.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_TYPE_UNSUPPORTED, TENANCY_REQUEST_TOO_LARGE, TENANCY_REQUEST_INVALID
 */
export function readBody(request: Request, accepted: readonly BodyType[]): Promise<RequestBody | undefined> {
  return readAnyBody(request, accepted, maxAccountsBodyBytes)
}
