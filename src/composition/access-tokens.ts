import { recordIssuedToken } from '../catalog/audit/issued-tokens.js'
import { TenancyError } from '../core/errors/errors.js'
import type { UserRecord } from '../core/identity/identity.js'
import type { IssuedToken, SigningKeys } from '../core/identity/signing-keys.js'
import type { SqlPool } from '../core/sql-client.js'
import { parseTenantRef } from '../core/tenants/slug.js'
import { findTenant } from '../catalog/tenants/tenant-row.js'

/** Signs access tokens for the users of the catalog. */
export interface AccessTokens {
  /**
   * Signs a token and leaves no entry in the audit log.
   * @param tenantId the tenant that the token is bound to; never a slug, which another tenant may have one day
   * @throws TENANCY_USER_NOT_FOUND
   */
  sign(userId: string, tenantId?: string, session?: string): Promise<IssuedToken>
  /** Signs a token and leaves an entry in the audit log. @throws TENANCY_USER_NOT_FOUND, TENANCY_TENANT_NOT_FOUND */
  issue(token: {
    readonly user: string
    /** Id or slug of the tenant that the token is bound to. The token has the id. Default: none. */
    readonly tenant?: string | undefined
    /** Id of the session that the token belongs to. Default: none. */
    readonly session?: string | undefined
    readonly actor?: string | null | undefined
  }): Promise<IssuedToken>
}

/** The parts that {@link createAccessTokens} combines. */
export interface AccessTokensParts {
  readonly catalog: SqlPool
  readonly keys: Pick<SigningKeys, 'issueAccessToken'>
  readonly readUser: (id: string) => Promise<UserRecord>
  readonly ttlSeconds: number
}

/** Makes the signer of an installation's own access tokens. */
export function createAccessTokens({ catalog, keys, readUser, ttlSeconds }: AccessTokensParts): AccessTokens {
  async function sign(userId: string, tenantId?: string, session?: string): Promise<IssuedToken> {
    const { tokenEpoch } = await readUser(userId)
    return keys.issueAccessToken({ userId, epoch: tokenEpoch, tenant: tenantId, session, ttlSeconds })
  }

  /** Returns the id of a tenant that is named by id, which is not looked up, or by slug. */
  async function idOf(named: string): Promise<string> {
    const ref = parseTenantRef(named)
    if (ref === undefined) {
      throw new TenancyError(
        'TENANCY_TENANT_NOT_FOUND',
        `${JSON.stringify(named.slice(0, 60))} is neither the id nor the slug of a tenant: check it`,
      )
    }
    return ref.kind === 'id' ? ref.value : (await findTenant(catalog, ref.value)).id
  }

  return {
    sign,
    async issue({ user: userId, tenant, session, actor }) {
      const tenantId = tenant === undefined ? undefined : await idOf(tenant)
      const issued = await sign(userId, tenantId, session)
      const { tokenId, expiresIn } = issued
      await recordIssuedToken(catalog, { userId, tokenId, tenant: tenantId, expiresIn, actor })
      return issued
    },
  }
}
