import { Readable } from 'node:stream'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { PlainApiHandler } from '../../../http/http-tenancy.js'
import { isStreamed, type PlainAnswer } from '../../../http/messages/answers.js'
import { refuseLength, refuseRequest } from '../../../http/messages/refusals.js'
import type { NodeRequestFacts } from '../../../http/web-request.js'
import { answerBadAddresses } from './bad-addresses.js'
import { readBody } from './read-body.js'
import { sendProblem } from '../error-handler.js'
import { FastifyRequestScope } from '../request-scope.js'
import { requestIdOf, scopeKey } from '../request-state.js'

/** What is mounted. */
export interface Mounted {
  readonly answer: (
    request: NodeRequestFacts,
    connection: Parameters<PlainApiHandler>[1],
  ) => Response | PlainAnswer | Promise<Response | PlainAnswer>
  /** Where, in Fastify's form. */
  readonly routes: readonly { readonly url: string; readonly methods: HTTPMethods[] }[]
  readonly maxBodyBytes: number
  /** Paths below which the handler also answers what no route of the application has: 404, or 405 with `Allow`. Default: none. */
  readonly prefixes?: readonly string[]
  /** Paths below which the handler also answers addresses that Fastify cannot read. Default: none. */
  readonly readsAddresses?: readonly string[]
  /** Prefix of the scope around, which the handler does not see. Default: it sees the whole path. */
  readonly scopePrefix?: string
}

/**
 * Serves a handler of ours, which authenticates its requests itself, as public routes with their raw bodies. OPTIONS is left
 * to the application, which decides about CORS.
 */
export function mountHandler(app: FastifyInstance, mounted: Mounted): void {
  const { answer, routes, maxBodyBytes, prefixes = [], readsAddresses = [], scopePrefix = '' } = mounted
  const handler = (request: FastifyRequest, reply: FastifyReply) => answerWith(request.body, request, reply)
  const answerWith = (body: unknown, request: FastifyRequest, reply: FastifyReply): unknown => {
    const { method, url, headers, [scopeKey]: scope } = request
    const target = url.startsWith(`${scopePrefix}/`) ? url.slice(scopePrefix.length) : url
    // Not `request.ip`, which depends on `trustProxy`: accounts have trusted proxies of their own.
    const given = answer(
      { method, url: target, headers, body },
      {
        remoteAddress: scope instanceof FastifyRequestScope ? scope.remoteAddress : request.socket.remoteAddress,
        target,
        requestId: requestIdOf(request),
      },
    )
    if (given instanceof Promise) return given.then((found) => send(found, reply))
    // Fastify would wait for a reply that is returned, as for a promise.
    void send(given, reply)
    return undefined
  }
  const errorHandler = (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    sendProblem(bodyProblem(error, maxBodyBytes), request, reply, (other) => {
      throw other
    })
  }

  answerBadAddresses(
    app,
    readsAddresses.map((path) => ({
      below: `${app.prefix}${path}/`,
      handle: async (request, reply) => answerWith(await readBody(request, reply, maxBodyBytes), request, reply),
    })),
  )
  void app.register(async (scope) => {
    // Only in this scope: the handler reads the body itself, whatever its type.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: maxBodyBytes }, (_request, body, done) =>
      done(null, body),
    )
    for (const { url, methods } of routes) {
      scope.route({
        method: methods,
        url,
        config: { tenancy: 'none' },
        // Links in mails carry their tokens in the query, and more people read a log than a mailbox.
        logSerializers: { req: withoutQuery },
        handler,
        errorHandler,
      })
    }
    for (const prefix of prefixes) {
      void scope.register(
        async (below) => {
          below.setErrorHandler(errorHandler)
          below.setNotFoundHandler(handler)
        },
        { prefix },
      )
    }
  })
}

function send(answer: Response | PlainAnswer, reply: FastifyReply): FastifyReply | Promise<FastifyReply> {
  if (answer instanceof Response) return sendResponse(answer, reply)
  reply.code(answer.status)
  for (const set of answer.headers) reply.headers(set)
  return reply.send(answer.body ?? undefined)
}

async function sendResponse(response: Response, reply: FastifyReply): Promise<FastifyReply> {
  reply.code(response.status)
  for (const [name, value] of response.headers) {
    if (name !== 'set-cookie') reply.header(name, value)
  }
  for (const cookie of response.headers.getSetCookie()) reply.header('set-cookie', cookie)
  const { body: content } = response
  if (content === null) return reply.send()
  if (!isStreamed(response)) return reply.send(Buffer.from(await response.arrayBuffer()))
  // The other end has gone meanwhile: nobody would end the stream.
  if (reply.raw.destroyed) await content.cancel()
  return reply.send(reply.raw.destroyed ? undefined : Readable.fromWeb(content))
}

/** Serializes a request as Fastify logs it, without the query. */
function withoutQuery(request: FastifyRequest) {
  const { method, host, ip: remoteAddress, socket } = request
  const [url] = request.url.split('?')
  return { method, url, host, remoteAddress, remotePort: socket?.remotePort }
}

/** Translates Fastify's error about a body that it did not take into ours. */
function bodyProblem(error: FastifyError, maxBodyBytes: number): unknown {
  if (!error.code?.startsWith('FST_ERR_CTP_')) return error
  if (error.statusCode === 413) return refuseLength(maxBodyBytes)
  if (error.statusCode !== 415) return refuseRequest('The body cannot be read', { pointer: '#' })
  const place = { header: 'Content-Type' }
  return refuseRequest('Send a Content-Type that can be read', place, 'TENANCY_REQUEST_TYPE_UNSUPPORTED')
}
