import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { type RequestContext, RequestScope } from '../../core/context/request-scope.js'
import { requestIdOf } from './request-state.js'

/**
 * The scope of a Fastify request. It is aborted when the client goes away before the response is complete. It listens for
 * that only once something has to wait: an AbortController for each such request would cost more than its query.
 */
export class FastifyRequestScope extends RequestScope {
  readonly #request: FastifyRequest
  readonly #response: ServerResponse
  #listeners: Set<() => void> | undefined

  constructor(context: RequestContext, request: FastifyRequest, response: ServerResponse) {
    super(context)
    this.#request = request
    this.#response = response
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
