import type { FastifyReply, FastifyRequest } from 'fastify'
import { refuseLength, refuseRequest } from '../../../http/messages/refusals.js'

/**
 * Reads the body of a request that Fastify has not routed, and so not parsed. Undefined: there is none.
 * @throws {@link TenancyError} TENANCY_REQUEST_TOO_LARGE, TENANCY_REQUEST_INVALID (the client has gone)
 */
export async function readBody(
  { raw, method }: FastifyRequest,
  reply: FastifyReply,
  maxBytes: number,
): Promise<Buffer | undefined> {
  if (method === 'GET' || method === 'HEAD') return undefined
  const chunks: Buffer[] = []
  let length = 0
  try {
    // The answer still has to go out by the same socket.
    for await (const chunk of raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > maxBytes) break
      chunks.push(chunk)
    }
  } catch {
    throw refuseRequest('The body cannot be read', { pointer: '#' })
  }
  if (length > maxBytes) {
    // What is left of the body is not read, so nothing can follow it.
    reply.header('connection', 'close')
    throw refuseLength(maxBytes)
  }
  return length === 0 ? undefined : Buffer.concat(chunks)
}
