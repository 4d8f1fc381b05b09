import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'
import { unixSocketRange } from '../../core/address-range.js'
import { TenancyError } from '../../core/errors/errors.js'
import { type AccountsHandler, maxAccountsBodyBytes } from '../../http/http-tenancy.js'
import { requestIdOf } from './request-id.js'
import { sendProblem } from './request-state.js'

/**
 * Serves accounts at `<prefix>/*`: public routes that get the body as it came. OPTIONS stays the application's: CORS is
 * its to decide.
 */
export function mountAccounts(app: FastifyInstance, prefix: string, handle: AccountsHandler): void {
  void app.register(async (scope) => {
    // Only in this scope: the body is the account provider's to read, whatever its type.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: maxAccountsBodyBytes }, (_request, body, done) =>
      done(null, body),
    )
    scope.route({
      method: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      url: `${prefix}/*`,
      config: { tenancy: 'none' },
      // The links in mails have their tokens in the query, and a log is read by more people than a mailbox.
      logSerializers: { req: withoutQuery },
      async handler(request, reply) {
        // Not `request.ip`, which depends on `trustProxy`: accounts have trusted proxies of their own.
        const response = await handle(toWebRequest(request), {
          remoteAddress: request.socket.remoteAddress ?? (isUnixSocket(request) ? unixSocketRange : undefined),
          target: request.url,
          requestId: requestIdOf(request),
        })
        reply.code(response.status)
        for (const [name, value] of response.headers) {
          if (name !== 'set-cookie') reply.header(name, value)
        }
        for (const cookie of response.headers.getSetCookie()) reply.header('set-cookie', cookie)
        return reply.send(response.body === null ? undefined : Buffer.from(await response.arrayBuffer()))
      },
      errorHandler(error, request, reply) {
        sendProblem(bodyProblem(error), request, reply, (other) => {
          throw other
        })
      },
    })
  })
}

/** A request as Fastify logs it, less the query. */
function withoutQuery(request: FastifyRequest) {
  const { method, host, ip: remoteAddress, socket } = request
  const [url] = request.url.split('?')
  return { method, url, host, remoteAddress, remotePort: socket?.remotePort }
}

/** What Fastify says of a body that it did not take, in our words. */
function bodyProblem(error: FastifyError): unknown {
  if (!error.code?.startsWith('FST_ERR_CTP_')) return error
  if (error.statusCode === 413)
    return new TenancyError('TENANCY_REQUEST_TOO_LARGE', `Send at most ${maxAccountsBodyBytes} bytes`)
  return new TenancyError(error.statusCode === 415 ? 'TENANCY_REQUEST_TYPE_UNSUPPORTED' : 'TENANCY_REQUEST_INVALID')
}

/** Asked of the server: a socket of TCP loses its address, too, when the other end hangs up. */
function isUnixSocket(request: FastifyRequest): boolean {
  return typeof request.server.server.address() === 'string'
}

/**
 * The request without what headers say of its address (`Host`, `X-Forwarded-Proto`): accounts do not look at it, and it may be
 * anything.
 */
function toWebRequest(request: FastifyRequest): Request {
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD' && Buffer.isBuffer(request.body)
  try {
    const headers = new Headers()
    for (const [name, value] of Object.entries(request.headers)) {
      // The pseudo-headers of HTTP/2 (RFC 9113, 8.3) are no headers.
      if (name.startsWith(':')) continue
      for (const item of [value ?? []].flat()) headers.append(name, item)
    }
    return new Request(new URL(`http://localhost${request.url}`), {
      method: request.method,
      headers,
      body: hasBody ? new Uint8Array(request.body as Buffer) : null,
    })
  } catch (cause) {
    throw new TenancyError('TENANCY_REQUEST_INVALID', 'A header, or the address, cannot be read', { cause })
  }
}
