import type { FetchImplementation } from 'jose'
import type { Logger } from '../core/logger.js'

const maxBodyBytes = 512 * 1024

/** What a fetched document must hold. */
export interface JsonFetchOptions {
  /** After a failure, least time until the next connection. */
  readonly retryAfterMs: number
  /** What of the document is handed on. @throws when it is not what it should be; that counts as a failure */
  readonly accept: (document: unknown) => unknown
  readonly logger: Logger
}

/**
 * A `fetch` for small JSON documents of an issuer: no redirects, a bounded body, and after a failure no new
 * connection for a while, so that bad tokens cannot make us hammer an issuer that is down.
 */
export function createJsonFetch({ retryAfterMs, accept, logger }: JsonFetchOptions): FetchImplementation {
  let failedAt = Number.NEGATIVE_INFINITY
  return async (url, init) => {
    if (performance.now() < failedAt + retryAfterMs) throw new Error('The last try failed a moment ago')
    try {
      const response = await fetch(url, init)
      if (response.status !== 200) {
        await response.body?.cancel()
        throw new Error(`The issuer answered with status ${response.status}`)
      }
      return Response.json(accept(JSON.parse(await readBody(response))))
    } catch (error) {
      failedAt = performance.now()
      logger.warn({ url, error: String(error) }, 'A document of a token issuer could not be fetched')
      throw error
    }
  }
}

async function readBody(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > maxBodyBytes) throw new Error(`The issuer answered with more than ${maxBodyBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
