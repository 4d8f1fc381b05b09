import type { IncomingMessage } from 'node:http'
import type { FetchImplementation } from 'jose'
import type { Logger } from '../../core/logger.js'
import { type GuardedRequestOptions, requestGuarded } from './guarded-request.js'

const maxBodyBytes = 512 * 1024

/** Options of {@link createJsonFetch}. */
export interface JsonFetchOptions extends Pick<GuardedRequestOptions, 'rules' | 'lookup' | 'ca'> {
  /** Least time from a failure to the next connection. */
  readonly retryAfterMs: number
  /** Gives the useful part of the document. @throws if the document is unusable, which counts as a failure */
  readonly accept: (document: unknown) => unknown
  readonly logger: Logger
}

/**
 * Creates a `fetch` for small JSON documents of an issuer: allowed addresses only, no redirects, a bounded body. After a
 * failure it makes no new connection for a while, so that bad tokens cannot make us flood an issuer that is down.
 */
export function createJsonFetch(options: JsonFetchOptions): FetchImplementation {
  const { retryAfterMs, accept, logger, ...through } = options
  let failedAt = Number.NEGATIVE_INFINITY
  return async (url, { headers, signal }) => {
    if (performance.now() < failedAt + retryAfterMs) throw new Error('The last try failed a moment ago')
    try {
      const response = await requestGuarded(new URL(url), { ...through, headers: Object.fromEntries(headers), signal })
      if (response.statusCode !== 200) {
        response.destroy()
        throw new Error(`The issuer answered with status ${response.statusCode}`)
      }
      return Response.json(accept(JSON.parse(await readBody(response))))
    } catch (error) {
      failedAt = performance.now()
      logger.warn({ url, error: String(error) }, 'A document of a token issuer could not be fetched')
      throw error
    }
  }
}

/** Reads the body. An error inside the loop destroys the response and its connection. */
async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength
    if (bytes > maxBodyBytes) throw new Error(`The issuer answered with more than ${maxBodyBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
