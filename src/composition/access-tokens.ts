import { recordIssuedToken } from '../catalog/audit/issued-tokens.js'
import { TenancyError } from '../core/errors/errors.js'
import type { UserRecord } from '../core/identity/identity.js'
import type { IssuedToken, SigningKeys } from '../core/identity/signing-keys.js'
import type { SqlPool } from '../core/sql-client.js'
import { parseTenantRef } from '../core/tenants/slug.js'

/** Signs access tokens for the users of the catalog. */
export interface AccessTokens {
  /** Signs a token and leaves no entry in the audit log. @throws TENANCY_USER_NOT_FOUND */
  sign(userId: string, tenant?: string): Promise<IssuedToken>
  /** Signs a token and leaves an entry in the audit log. @throws TENANCY_USER_NOT_FOUND, TENANCY_TENANT_NOT_FOUND */
  issue(token: {
    readonly user: string
    /** Id or slug that the token is bound to. Default: none. */
    readonly tenant?: string | undefined
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
  async function sign(userId: string, tenant?: string): Promise<IssuedToken> {
    const { tokenEpoch } = await readUser(userId)
    return keys.issueAccessToken({ userId, epoch: tokenEpoch, tenant, ttlSeconds })
  }

  return {
    sign,
    async issue({ user: userId, tenant, actor }) {
      if (tenant !== undefined && parseTenantRef(tenant) === undefined) {
        throw new TenancyError(
          'TENANCY_TENANT_NOT_FOUND',
          `${JSON.stringify(tenant.slice(0, 60))} is neither the id nor the slug of a tenant: check it`,
        )
      }
      const issued = await sign(userId, tenant)
      const { tokenId, expiresIn } = issued
      await recordIssuedToken(catalog, { userId, tokenId, tenant, expiresIn, actor })
      return issued
    },
  }
}
