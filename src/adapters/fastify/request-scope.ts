import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { unixSocketRange } from '../../core/address-range.js'
import type { AuditOrigin } from '../../core/context/audit-origin.js'
import { type RequestContext, RequestScope } from '../../core/context/request-scope.js'
import { auditOriginOf } from '../../http/audit-origin.js'
import type { ClientAddress } from '../../http/client-address.js'
import { requestIdOf } from './request-state.js'

/**
 * The scope of a Fastify request. It is aborted when the client goes away before the response is complete. It listens for
 * that only once something has to wait: an AbortController for each such request would cost more than its query.
 */
export class FastifyRequestScope extends RequestScope {
  readonly #request: FastifyRequest
  readonly #response: ServerResponse
  readonly #clientAddress: ClientAddress
  /**
   * The other end of the socket; `unix:` for a Unix socket. Read at the start: a socket
   * forgets it when the other end hangs up, so that nobody would be known who hangs up at once.
   */
  readonly remoteAddress: string | undefined
  #listeners: Set<() => void> | undefined

  constructor(
    context: RequestContext,
    request: FastifyRequest,
    response: ServerResponse,
    clientAddress: ClientAddress,
  ) {
    super(context)
    this.#request = request
    this.#response = response
    this.#clientAddress = clientAddress
    this.remoteAddress = request.socket.remoteAddress ?? (isUnixSocket(request) ? unixSocketRange : undefined)
  }

  override get origin(): AuditOrigin {
    const forwardedFor = this.#request.headers['x-forwarded-for']
    const address = this.#clientAddress({
      remoteAddress: this.remoteAddress,
      forwardedFor: Array.isArray(forwardedFor) ? forwardedFor.join(',') : forwardedFor,
    })
    return auditOriginOf(this.context, { requestId: this.requestId, address })
  }

  override get requestId(): string {
    return requestIdOf(this.#request)
  }

  override get isAborted(): boolean {
    return this.#response.destroyed && !this.#response.writableEnded
  }

  override onAborted(listener: () => void): void {
    this.#listeners ??= this.#listen()
    this.#listeners.add(listener)
  }

  override offAborted(listener: () => void): void {
    this.#listeners?.delete(listener)
  }

  #listen(): Set<() => void> {
    const listeners = new Set<() => void>()
    // The request's own 'close' does not tell: it also comes when a body has been read (Node, http.IncomingMessage).
    this.#response.once('close', () => {
      if (this.#response.writableEnded) return
      for (const listener of [...listeners]) listener()
    })
    return listeners
  }
}

/** Asks the server, because a TCP socket also loses its address when the other end hangs up. */
function isUnixSocket(request: FastifyRequest): boolean {
  return typeof request.server.server.address() === 'string'
}
