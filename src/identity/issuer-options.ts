import { TenancyError } from '../core/errors.js'
import type { IssuerOptions } from '../core/identity.js'
import { isSafeKeyAddress } from './key-address.js'

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

/**
 * Refuses issuers that could be taken for each other, whose keys would travel unprotected, or that sign with a
 * shared secret.
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID, naming every problem
 */
export function requireSafeIssuers(issuers: readonly IssuerOptions[], ownIssuer: string | undefined): void {
  const problems: string[] = []
  const seen = new Set(ownIssuer === undefined ? [] : [ownIssuer])
  for (const { issuer, audience, algorithm, jwksUri } of issuers) {
    if (issuer === '') problems.push('an issuer has an empty name')
    if (seen.has(issuer)) problems.push(`issuer ${issuer} is named twice`)
    seen.add(issuer)
    const audiences = typeof audience === 'string' ? [audience] : audience
    if (audiences.length === 0 || audiences.includes('')) problems.push(`issuer ${issuer} has an empty audience`)
    if (algorithm !== undefined && !algorithms.includes(algorithm)) {
      problems.push(`issuer ${issuer} signs with ${algorithm}: choose one of ${algorithms.join(', ')}`)
    }
    if (!isSafeKeyAddress(jwksUri ?? issuer)) {
      problems.push(`issuer ${issuer} has no https address for its keys: set jwksUri (http works on loopback only)`)
    }
  }
  if (problems.length > 0) throw new TenancyError('TENANCY_CONFIG_INVALID', `Token issuers: ${problems.join('; ')}`)
}
