import type {
  EndImpersonationInput,
  Impersonation,
  ImpersonationStore,
  ListImpersonationsInput,
  StartImpersonationInput,
} from '../catalog/impersonations/impersonations.js'
import type { SigningKeys } from '../core/identity/signing-keys.js'

/** An impersonation that begins, with the token of whoever acts. */
export interface StartedImpersonation {
  readonly impersonation: Impersonation
  /**
   * An access token (RFC 9068) of the member for the tenant, with the administrator in `act` (RFC 8693), for an audience of its own.
   * It cannot be refreshed.
   */
  readonly token: string
  /** Seconds. */
  readonly expiresIn: number
}

/**
 * Administrators of the installation who act as a member of a tenant, to see what the member sees: for an hour at most, with a
 * reason, and in sight of the tenant's Owners. Every request asks the catalog whether it goes on.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface Impersonations {
  /**
   * Begins one. The actor has to be an administrator of the installation, and the member has to have access to the tenant.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_SUSPENDED, TENANCY_TENANT_DELETED, TENANCY_MEMBER_NOT_FOUND,
   *   TENANCY_IMPERSONATION_REFUSED (no administrator, themselves, or a member who is disabled, inactive or not verified),
   *   TENANCY_CATALOG_UNAVAILABLE
   * @example
   * const { token } = await tenancy.startImpersonation({
   *   tenant: 'acme', user: member.id, reason: 'Ticket 4711', minutes: 15, actor: administrator.id,
   * })
   */
  startImpersonation(input: StartImpersonationInput): Promise<StartedImpersonation>
  /**
   * Ends one at once, in every process. One that is over already stays as it is.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_IMPERSONATION_NOT_FOUND
   */
  endImpersonation(input: EndImpersonationInput): Promise<Impersonation>
  /** Lists those of a tenant, the newest first, also those that are over. @throws TENANCY_TENANT_NOT_FOUND */
  listImpersonations(input: ListImpersonationsInput): Promise<Impersonation[]>
}

/** Creates the service for impersonations. */
export function createImpersonations(
  store: ImpersonationStore,
  keys: Pick<SigningKeys, 'issueImpersonationToken'>,
): Impersonations {
  return {
    async startImpersonation(input) {
      const { impersonation, epoch } = await store.beginImpersonation(input)
      const { id, tenantId: tenant, userId, administratorId: administrator, createdAt, expiresAt } = impersonation
      const ttlSeconds = Math.round((expiresAt.getTime() - createdAt.getTime()) / 1000)
      try {
        const { token, expiresIn } = await keys.issueImpersonationToken({
          ...{ id, userId, epoch, tenant, administrator, ttlSeconds },
        })
        return { impersonation, token, expiresIn }
      } catch (error) {
        // Nobody has a token for it.
        await store.endImpersonation({ tenant, impersonation: id, actor: administrator }).catch(() => {})
        throw error
      }
    },
    endImpersonation: (input) => store.endImpersonation(input),
    listImpersonations: (input) => store.listImpersonations(input),
  }
}
