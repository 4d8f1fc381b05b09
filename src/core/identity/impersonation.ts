import type { TokenImpersonation, VerifiedToken } from './identity.js'

/** An administrator of the installation who acts as the user of a request. */
export interface CurrentImpersonation {
  readonly id: string
  readonly administrator: { readonly id: string; readonly name: string }
  /** Why, as the administrator has said. */
  readonly reason: string
  readonly expiresAt: Date
}

/** Finds impersonations of tokens, in the catalog: each time, so that one that was ended counts no more. */
export interface ImpersonationDirectory {
  /**
   * @throws TENANCY_AUTH_TOKEN_INVALID: it is over, or its administrator administers no more; TENANCY_AUTH_USER_REFUSED,
   *   TENANCY_TENANT_FORBIDDEN, TENANCY_TENANT_SUSPENDED, TENANCY_TENANT_DELETED, TENANCY_CATALOG_UNAVAILABLE
   */
  find(
    token: Pick<VerifiedToken, 'subject' | 'tenant'> & { readonly impersonation: TokenImpersonation },
  ): Promise<CurrentImpersonation>
}

/** Longest time for which an administrator acts as a member, minutes. */
export const maxImpersonationMinutes = 60
