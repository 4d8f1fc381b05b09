import type { AuditOrigin } from '../../core/context/audit-origin.js'
import { type KeyedRequestMark, type RequestContext, RequestScope } from '../../core/context/request-scope.js'

/** The scope of an operation. Where its request comes from is found out when something is written to the audit log. */
export class OperationScope extends RequestScope {
  readonly #originOf: () => AuditOrigin
  #origin: AuditOrigin | undefined

  constructor(context: RequestContext, originOf: () => AuditOrigin, keyed?: KeyedRequestMark) {
    super(context, { keyed })
    this.#originOf = originOf
  }

  override get origin(): AuditOrigin {
    this.#origin ??= this.#originOf()
    return this.#origin
  }
}
