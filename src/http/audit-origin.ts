import { unixSocketRange } from '../core/address-range.js'
import type { AuditOrigin } from '../core/context/audit-origin.js'
import type { RequestContext } from '../core/context/request-scope.js'
import { safeRequestId } from './problem.js'

/** What is known of a request besides its context. */
export interface OriginFacts {
  readonly requestId: string | undefined
  /** As `ClientAddress` gives it. */
  readonly address: string
  /** Whether it is for the administration of the installation. Default: false. */
  readonly isPlatform?: boolean
}

/** Says for the audit log where a request comes from. */
export function auditOriginOf(
  { user, serviceAccount, impersonation }: RequestContext,
  { requestId, address, isPlatform }: OriginFacts,
): AuditOrigin {
  return {
    requestId: requestId === undefined ? undefined : safeRequestId(requestId),
    caller: user?.id ?? serviceAccount?.id,
    address: address === unixSocketRange || address === 'unknown' ? undefined : address,
    isPlatform,
    impersonation: impersonation && { id: impersonation.id, administrator: impersonation.administrator.id },
  }
}
