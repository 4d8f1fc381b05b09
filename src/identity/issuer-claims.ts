import type { ClaimPath, IssuerOptions } from '../core/identity/issuer.js'
import { parseTenantRef } from '../core/tenants/slug.js'

const maxTokenBytes = 65_536
const maxToleranceSeconds = 120
const meaningNo: readonly unknown[] = [false, 0, '', '0', 'false', 'no', 'null']

/** Lists what is wrong with an issuer's settings about the claims of its tokens. */
export function* problemsOfClaims(options: IssuerOptions): Generator<string> {
  yield* problemsOfUse(options)
  yield* problemsOfTenant(options)
  yield* problemsOfEmail(options)
  const { maxTokenBytes: bytes = 8192, clockToleranceSeconds: seconds = 5, subjectClaim } = options
  if (!Number.isInteger(bytes) || bytes < 1024 || bytes > maxTokenBytes) {
    yield `has a maxTokenBytes of ${bytes}: choose 1024 to ${maxTokenBytes}`
  }
  if (!(seconds >= 0 && seconds <= maxToleranceSeconds)) {
    yield `has a clockToleranceSeconds of ${seconds}: choose 0 to ${maxToleranceSeconds}`
  }
  if (subjectClaim === '') yield 'has an empty subjectClaim'
}

/** Audience, type and further claims say what a token was made for: the settings must demand enough of them. */
function* problemsOfUse({ audience, audienceClaim = 'aud', typ = 'at+jwt', requiredClaims = {} }: IssuerOptions) {
  const audiences = typeof audience === 'string' ? [audience] : audience
  if (audiences.length === 0 || audiences.includes('')) yield 'has an empty audience'
  const types = typeof typ === 'string' || typ === null ? [typ] : typ
  if (types.length === 0 || types.includes('')) yield 'has an empty typ: null stands for none'
  const required = Object.entries(requiredClaims)
  for (const [name, values] of required) {
    if (name === '' || (Array.isArray(values) && values.length === 0)) {
      yield `has requiredClaims without a value for ${JSON.stringify(name)}`
    }
  }
  if (required.length > 0) return
  if (audienceClaim !== 'aud' && types.some((type) => type !== 'at+jwt' && type !== 'application/at+jwt')) {
    yield `takes ${audienceClaim} for the audience, which its ID tokens have as well: set requiredClaims to what only its access tokens have, or let it send typ at+jwt`
  }
  if (types.includes(null) && types.length > 1) {
    yield 'takes tokens with and without typ, so typ says nothing: set requiredClaims to what only its access tokens have'
  }
}

function* problemsOfTenant(options: IssuerOptions) {
  const { tenantClaim, tenantClaimType, tenantClaimEmpty, requireTenant, tenantMap } = options
  if (tenantClaim === undefined) {
    if (tenantClaimType ?? tenantClaimEmpty ?? requireTenant ?? tenantMap) {
      yield 'says what tenants in its tokens mean, and not where they are: set tenantClaim'
    }
    return
  }
  if (isEmptyPath(tenantClaim)) yield 'has an empty tenantClaim'
  for (const [value, tenant] of Object.entries(tenantMap ?? {})) {
    if (parseTenantRef(tenant) === undefined) {
      yield `maps ${JSON.stringify(value)} to ${JSON.stringify(tenant)}, which is neither a tenant's id nor a slug`
    }
  }
  if (requireTenant === true && tenantClaimEmpty === 'unbound') {
    yield 'has requireTenant and tenantClaimEmpty "unbound", which contradict each other'
  }
}

function* problemsOfEmail(options: IssuerOptions) {
  const { emailVerified = 'claim', emailVerifiedValues = [true], linkByVerifiedEmail, emailClaim = 'email' } = options
  if (isEmptyPath(emailClaim) || isEmptyPath(options.emailVerifiedClaim ?? 'email_verified')) {
    yield 'has an empty emailClaim or emailVerifiedClaim'
  }
  if (emailVerifiedValues.length === 0) yield 'has no emailVerifiedValues: set emailVerified to "never" for none'
  for (const value of emailVerifiedValues) {
    const text = typeof value === 'string' ? value.trim().toLowerCase() : value
    if (meaningNo.includes(text)) yield `has emailVerifiedValues with ${JSON.stringify(value)}, which means no`
  }
  if (linkByVerifiedEmail === true && emailVerified !== 'claim') {
    yield `may not have linkByVerifiedEmail with emailVerified "${emailVerified}": an account is handed over only for an address that the token says is verified (tenancy.linkIdentity links without)`
  }
  if (options.createUsers === true && emailVerified === 'never' && options.requireVerifiedEmail !== false) {
    yield 'may create users, and none of its addresses counts as verified: set requireVerifiedEmail to false to trust it for identity alone'
  }
}

function isEmptyPath(path: ClaimPath): boolean {
  return path.length === 0 || (typeof path !== 'string' && path.includes(''))
}
