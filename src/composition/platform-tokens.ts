import { recordIssuedToken } from '../catalog/audit/issued-tokens.js'
import type { AdministratorRecord } from '../catalog/users/administrator-record.js'
import { TenancyError } from '../core/errors/errors.js'
import { isTenantBound, isTokenCurrent, isUserAdmitted, type TokenVerifier } from '../core/identity/identity.js'
import type { PlatformTokens } from '../core/identity/platform.js'
import type { SigningKeys } from '../core/identity/signing-keys.js'
import type { SqlPool } from '../core/sql-client.js'
import { readBearerToken } from '../http/bearer.js'
import { anonymousContext } from '../http/pipeline.js'

/** The parts that {@link createPlatformTokens} combines. */
export interface PlatformTokensParts {
  readonly catalog: SqlPool
  readonly keys: Pick<SigningKeys, 'issuePlatformToken'>
  /** Of tokens for the platform's audience only. */
  readonly verifier: TokenVerifier
  readonly readAdministrator: (userId: string) => Promise<AdministratorRecord | undefined>
  readonly ttlSeconds: number
}

/** Makes the issuer and verifier of tokens of platform administrators. */
export function createPlatformTokens({
  catalog,
  keys,
  verifier,
  readAdministrator,
  ttlSeconds,
}: PlatformTokensParts): PlatformTokens {
  return {
    async exchange(token) {
      if (isTenantBound(token)) throw new TenancyError('TENANCY_AUTH_TOKEN_BOUND')
      // A foreign issuer says who somebody is; it does not decide who administers the installation.
      const found = token.isOwn ? await readAdministrator(token.subject) : undefined
      if (found === undefined) {
        const message =
          'Only a platform administrator gets a token of the platform, for an access token of this installation'
        throw new TenancyError('TENANCY_ACCESS_DENIED', message)
      }
      const { record, grant } = found
      if (!isTokenCurrent(token, record)) throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID')
      const userId = record.user.id
      const issued = await keys.issuePlatformToken({ userId, epoch: record.tokenEpoch, grant, ttlSeconds })
      const { tokenId, expiresIn } = issued
      await recordIssuedToken(catalog, {
        userId,
        tokenId,
        tenant: undefined,
        expiresIn,
        actor: userId,
        isPlatform: true,
      })
      return issued
    },

    async authenticate(authorization) {
      const token = await verifier.verify(readBearerToken(authorization))
      const found = await readAdministrator(token.subject)
      if (found !== undefined && !isUserAdmitted(token, found.record)) {
        throw new TenancyError('TENANCY_AUTH_USER_REFUSED')
      }
      if (found === undefined || found.grant !== token.claims['grant'] || !isTokenCurrent(token, found.record)) {
        throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID')
      }
      return Object.freeze({ ...anonymousContext, user: found.record.user, token })
    },
  }
}
