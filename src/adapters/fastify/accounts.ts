import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AccountsHandler } from '../../http/http-tenancy.js'

/** Serves accounts at `<prefix>/*`: public routes that get the body as it came. */
export function mountAccounts(app: FastifyInstance, prefix: string, handle: AccountsHandler): void {
  void app.register(async (scope) => {
    // Only in this scope: the body is the account provider's to read, whatever its type.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    scope.route({
      method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      url: `${prefix}/*`,
      config: { tenancy: 'none' },
      async handler(request, reply) {
        const response = await handle(toWebRequest(request), { remoteAddress: request.ip })
        reply.code(response.status)
        for (const [name, value] of response.headers) {
          if (name !== 'set-cookie') reply.header(name, value)
        }
        for (const cookie of response.headers.getSetCookie()) reply.header('set-cookie', cookie)
        return reply.send(response.body === null ? undefined : Buffer.from(await response.arrayBuffer()))
      },
    })
  })
}

function toWebRequest(request: FastifyRequest): Request {
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) {
    for (const item of [value ?? []].flat()) headers.append(name, item)
  }
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD' && Buffer.isBuffer(request.body)
  return new Request(new URL(request.url, `${request.protocol}://${request.host || 'localhost'}`), {
    method: request.method,
    headers,
    body: hasBody ? new Uint8Array(request.body as Buffer) : null,
  })
}
