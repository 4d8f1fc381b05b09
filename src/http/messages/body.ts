import type { ApiRequest } from '../http-tenancy.js'
import { refuseLength, refuseRequest } from './refusals.js'
import { decodeUtf8, parseForm, parseJson } from './strict-text.js'

/** The media types that a body can have. */
export type BodyType = 'application/json' | 'application/x-www-form-urlencoded'

/** A parsed body, not checked yet. */
export interface RequestBody {
  readonly type: BodyType
  /** JSON: any value. Form: an object of texts, without the empty ones (RFC 6749, 3.1). */
  readonly fields: unknown
}

/**
 * Reads the body of a request; undefined when it has neither a body nor a content type.
 *
 * @param maxBytes the longest body
 * @throws {@link TenancyError} TENANCY_REQUEST_TYPE_UNSUPPORTED, TENANCY_REQUEST_TOO_LARGE, TENANCY_REQUEST_INVALID
 */
export async function readBody(
  request: Pick<ApiRequest, 'headers' | 'body'>,
  accepted: readonly BodyType[],
  maxBytes: number,
): Promise<RequestBody | undefined> {
  const type = request.headers.get('content-type')
  if (type === null && request.body === null) return undefined
  const known = accepted.find((candidate) => candidate === essenceOf(type ?? ''))
  const isEncoded = (request.headers.get('content-encoding') ?? 'identity') !== 'identity'
  if (known === undefined || isEncoded) {
    const place = { header: known === undefined ? 'Content-Type' : 'Content-Encoding' }
    const message = `Send ${accepted.join(' or ')} in UTF-8, as it is`
    throw refuseRequest(message, place, 'TENANCY_REQUEST_TYPE_UNSUPPORTED')
  }
  const text = decodeUtf8(await readBytes(request, maxBytes))
  return { type: known, fields: known === 'application/json' ? parseJson(text) : filledFields(text) }
}

/** Gives the media type in lower case (RFC 9110, 8.3.1), if its only parameter is a charset of UTF-8. */
function essenceOf(type: string): string | undefined {
  return /^([\w.+-]+\/[\w.+-]+)\s*(?:;\s*(?:charset=(?:utf-8|"utf-8")\s*)?)?$/i.exec(type.trim())?.[1]?.toLowerCase()
}

async function readBytes(request: Pick<ApiRequest, 'headers' | 'body'>, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers.get('content-length')) > maxBytes) throw refuseLength(maxBytes)
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw refuseLength(maxBytes)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function filledFields(text: string): Record<string, string> {
  return Object.fromEntries([...parseForm(text)].filter(([, value]) => value !== ''))
}
