import { type ApiRequest, maxApiBodyBytes } from '../../http/http-tenancy.js'
import { readBody } from '../../http/messages/body.js'
import { parseFields } from '../../http/messages/fields.js'
import { refuseRequest } from '../../http/messages/refusals.js'
import { parseForm } from '../../http/messages/strict-text.js'
import type { Operation, RangeHeaders } from '../operation.js'
import type { Match } from './route-table.js'

/** What a request carries for its operation, checked. */
export interface CallParts {
  readonly params: unknown
  readonly query: unknown
  readonly body: unknown
  readonly expectedTag: string | undefined
  readonly range: RangeHeaders
}

/**
 * Reads and checks what a request carries; at once, if it has no body. Unknown fields are refused, in the query as well.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID, TENANCY_REQUEST_TOO_LARGE, TENANCY_REQUEST_TYPE_UNSUPPORTED
 */
export function readCall(
  request: ApiRequest,
  query: string,
  { operation, params }: Match,
): CallParts | Promise<CallParts> {
  const parts = (body: unknown): CallParts => ({
    params: checkedParams,
    query: checkedQuery,
    body,
    expectedTag: readTag(request, operation),
    range: rangeOf(request, operation),
  })
  const checkedParams = parseFields(operation.params, params, 'parameters')
  const checkedQuery = parseFields(operation.query, readQuery(query), 'parameters')
  if (operation.body === undefined && request.body === null) return parts(undefined)
  return readOwnBody(request, operation).then(parts)
}

function readQuery(query: string): object {
  if (query === '') return {}
  return Object.fromEntries(parseForm(query, (field) => (field === undefined ? {} : { parameter: field })))
}

async function readOwnBody(request: ApiRequest, { body, id }: Operation): Promise<unknown> {
  if (body !== undefined) {
    const given = await readBody(request, ['application/json'], maxApiBodyBytes)
    return parseFields(body, given === undefined ? {} : given.fields)
  }
  // Clients send a Content-Type without a body, too.
  for await (const chunk of request.body ?? []) {
    if (chunk.byteLength > 0) throw refuseRequest(`${id} takes no body`, { pointer: '#' })
  }
  return undefined
}

const ifMatch = { header: 'If-Match' }
const tagPattern = /^"([\x21\x23-\x7e]{1,100})"$/

/** One strong tag (RFC 9110, 13.1.1). `*` is as if nothing was said: what is changed has to be there anyway. */
function readTag(request: ApiRequest, { takesTag, id }: Operation): string | undefined {
  const given = request.headers.get('if-match')
  if (given === null || (takesTag && given.trim() === '*')) return undefined
  if (!takesTag) throw refuseRequest(`${id} does not take If-Match`, ifMatch)
  const tag = tagPattern.exec(given.trim())?.[1]
  if (tag === undefined) throw refuseRequest('If-Match must be one ETag, as it was given', ifMatch)
  return tag
}

/** Ranges mean something for GET only (RFC 9110, 14.2). */
function rangeOf({ method, headers }: ApiRequest, { takesRange }: Operation): RangeHeaders {
  if (!takesRange || method !== 'GET') return { range: undefined, ifRange: undefined }
  return { range: headers.get('range') ?? undefined, ifRange: headers.get('if-range') ?? undefined }
}
