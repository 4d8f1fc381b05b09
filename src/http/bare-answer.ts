import type { ServerResponse } from 'node:http'
import type { Problem } from './problem.js'

/**
 * Writes a problem document straight to Node's response, for when the framework's own answer has failed. Ends the connection
 * if the response has begun already.
 */
export function answerBare({ status, headers, body }: Problem, response: ServerResponse): void {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  try {
    // The headers so far belong to the first answer, and may be what made it fail.
    for (const name of response.getHeaderNames()) if (name !== 'connection') response.removeHeader(name)
    response.writeHead(status, { ...headers, 'content-length': String(Buffer.byteLength(body)) })
    response.end(body)
  } catch {
    response.destroy()
  }
}
