import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { unixSocketRange } from '../../core/address-range.js'
import type { RequestContext } from '../../core/context/request-scope.js'
import type { ClientAddress } from '../../http/client-address.js'
import { HttpRequestScope } from '../../http/http-request-scope.js'
import { requestIdOf } from './request-state.js'

/** The scope of a Fastify request. It is aborted when the client goes away before the response is complete. */
export class FastifyRequestScope extends HttpRequestScope {
  readonly #request: FastifyRequest
  readonly #response: ServerResponse
  /**
   * The other end of the socket; `unix:` for a Unix socket. Read at the start: a socket
   * forgets it when the other end hangs up, so that nobody would be known who hangs up at once.
   */
  readonly remoteAddress: string | undefined

  constructor(
    context: RequestContext,
    request: FastifyRequest,
    response: ServerResponse,
    clientAddress: ClientAddress,
  ) {
    super(context, clientAddress)
    this.#request = request
    this.#response = response
    this.remoteAddress = request.socket.remoteAddress ?? (isUnixSocket(request) ? unixSocketRange : undefined)
  }

  protected override get forwardedFor(): string | undefined {
    const forwardedFor = this.#request.headers['x-forwarded-for']
    return Array.isArray(forwardedFor) ? forwardedFor.join(',') : forwardedFor
  }

  override get requestId(): string {
    return requestIdOf(this.#request)
  }

  override get isAborted(): boolean {
    return this.#response.destroyed && !this.#response.writableEnded
  }

  protected override listenForAbort(call: () => void): void {
    // The request's own 'close' does not tell: it also comes when a body has been read (Node, http.IncomingMessage).
    this.#response.once('close', () => {
      if (!this.#response.writableEnded) call()
    })
  }
}

/** Asks the server, because a TCP socket also loses its address when the other end hangs up. */
function isUnixSocket(request: FastifyRequest): boolean {
  return typeof request.server.server.address() === 'string'
}
