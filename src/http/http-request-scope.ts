import type { AuditOrigin } from '../core/context/audit-origin.js'
import { type RequestContext, RequestScope } from '../core/context/request-scope.js'
import { auditOriginOf } from './audit-origin.js'
import type { ClientAddress } from './client-address.js'

/**
 * The scope of an HTTP request. An adapter says what its framework knows of the request. It is asked to listen for the
 * client's going only once something has to wait: most requests never do.
 */
export abstract class HttpRequestScope extends RequestScope {
  readonly #clientAddress: ClientAddress
  #listeners: Set<() => void> | undefined

  constructor(context: RequestContext, clientAddress: ClientAddress) {
    super(context)
    this.#clientAddress = clientAddress
  }

  /** The other end of the socket; `unix:` for a Unix socket. */
  abstract readonly remoteAddress: string | undefined
  /** The value of `X-Forwarded-For`; several headers are joined with commas. */
  protected abstract get forwardedFor(): string | undefined
  abstract override get requestId(): string
  abstract override get isAborted(): boolean
  /** Calls back when the client has gone before its answer was complete. */
  protected abstract listenForAbort(call: () => void): void

  override get origin(): AuditOrigin {
    const { remoteAddress, forwardedFor, requestId } = this
    return auditOriginOf(this.context, { requestId, address: this.#clientAddress({ remoteAddress, forwardedFor }) })
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
    this.listenForAbort(() => {
      for (const listener of [...listeners]) listener()
    })
    return listeners
  }
}
