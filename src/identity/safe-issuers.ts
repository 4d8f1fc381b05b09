import { TenancyError } from '../core/errors/errors.js'
import { type IssuerOptions, issuerTenantPlaceholder, readIssuerTenant } from '../core/identity/issuer.js'
import { isSafeKeyAddress } from './keys/key-address.js'
import { problemsOfClaims } from './issuer-claims.js'

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

/**
 * Refuses unsafe issuers: those that could be taken for each other, whose keys would be fetched unprotected, that sign with a
 * shared secret, or whose settings together would accept tokens that were made for something else.
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID, naming every problem
 */
export function requireSafeIssuers(issuers: readonly IssuerOptions[], ownIssuer: string | undefined): void {
  const problems: string[] = []
  const seen = new Set(ownIssuer === undefined ? [] : [ownIssuer])
  for (const options of issuers) {
    const { issuer } = options
    if (issuer === '') problems.push('an issuer has an empty name')
    if (seen.has(issuer)) problems.push(`issuer ${issuer} is named twice: one set of rules holds for an issuer`)
    seen.add(issuer)
    for (const problem of [
      ...problemsOfKeys(options),
      ...problemsOfDirectories(options),
      ...problemsOfClaims(options),
    ]) {
      problems.push(`issuer ${issuer} ${problem}`)
    }
  }
  for (const template of seen) {
    const other = [...seen].find((issuer) => readIssuerTenant(template, issuer) !== undefined)
    if (other !== undefined) problems.push(`issuer ${other} is one of issuer ${template}: keep one of the two`)
  }
  if (problems.length > 0) throw new TenancyError('TENANCY_CONFIG_INVALID', `Token issuers: ${problems.join('; ')}`)
}

function* problemsOfKeys({ issuer, algorithm, jwksUri }: IssuerOptions): Generator<string> {
  const signsWith = algorithm === undefined ? ['RS256'] : typeof algorithm === 'string' ? [algorithm] : algorithm
  if (signsWith.length === 0) yield 'has no algorithm'
  for (const name of signsWith) {
    if (!algorithms.includes(name)) yield `signs with ${name}: choose one of ${algorithms.join(', ')}`
  }
  if (!isSafeKeyAddress(jwksUri ?? issuer)) {
    yield 'has no https address for its keys: set jwksUri (http works on loopback only)'
  }
}

function* problemsOfDirectories({ issuer, issuerTenants, jwksUri, linkByVerifiedEmail }: IssuerOptions) {
  const isTemplate = issuer.includes(issuerTenantPlaceholder)
  if (!isTemplate) {
    if (issuerTenants !== undefined) yield `has issuerTenants and no ${issuerTenantPlaceholder} that they stand for`
    return
  }
  if (issuer.split(issuerTenantPlaceholder).length > 2) yield `has ${issuerTenantPlaceholder} more than once`
  if (jwksUri === undefined) yield `is a template, which has no discovery document: set jwksUri`
  if (issuerTenants === undefined || issuerTenants.length === 0) {
    yield 'is a template: set issuerTenants to the ids of the directories that may come in, or to "any"'
  }
  for (const directory of issuerTenants === 'any' ? [] : (issuerTenants ?? [])) {
    if (readIssuerTenant(issuerTenantPlaceholder, directory) !== directory) {
      yield `has issuerTenants with ${JSON.stringify(directory)}, which is no id in lower case`
    }
  }
  if (linkByVerifiedEmail === true && issuerTenants === 'any') {
    yield 'may not have linkByVerifiedEmail with issuerTenants "any": whoever has a directory chooses the addresses in it'
  }
}
