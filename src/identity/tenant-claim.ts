import { type ClaimPath, type IssuerOptions, readClaim } from '../core/identity/issuer.js'
import type { ParsedToken } from './parse-token.js'
import { quote } from './token-refusal.js'

/** The settings by which an issuer's tokens name their tenants. */
export interface TenantClaimRules {
  readonly path: ClaimPath
  readonly type: 'string' | 'array' | 'object'
  /** True: null, an empty text, array or object count as no claim. */
  readonly mayBeEmpty: boolean
  readonly isRequired: boolean
  readonly map: ReadonlyMap<string, string> | undefined
}

/** Most tenants in one token. A token with more is refused. */
const maxTenants = 1000

/** Reads the settings of an issuer; undefined when no claim names a tenant. */
export function tenantClaimRules(
  options: Pick<IssuerOptions, 'tenantClaim' | 'tenantClaimType' | 'tenantClaimEmpty' | 'requireTenant' | 'tenantMap'>,
): TenantClaimRules | undefined {
  const { tenantClaim, tenantClaimType, tenantClaimEmpty, requireTenant, tenantMap } = options
  if (tenantClaim === undefined) return undefined
  return {
    path: tenantClaim,
    type: tenantClaimType ?? 'string',
    mayBeEmpty: tenantClaimEmpty === 'unbound',
    isRequired: requireTenant === true,
    map: tenantMap && new Map(Object.entries(tenantMap)),
  }
}

/**
 * Reads the tenants that a token is for, by id or slug; none: it is for no tenant in particular.
 * @param refuse called with the value found and the setting that would accept it
 */
export function readTenants(
  claims: ParsedToken['claims'],
  rules: TenantClaimRules | undefined,
  refuse: (help: string) => never,
): readonly string[] {
  if (rules === undefined) return []
  const name = typeof rules.path === 'string' ? rules.path : rules.path.join('.')
  const value = readClaim(claims, rules.path)
  const names = value === undefined ? [] : namesIn(value, rules)
  if (names === undefined || names.length > maxTenants) {
    refuse(
      `its tenant claim "${name}" is ${quote(value)}; set "tenantClaimType" in TENANT_OIDC_ISSUERS to what this issuer sends: string, array or object`,
    )
  }
  if (names.length === 0) {
    if (value !== undefined && !rules.mayBeEmpty) {
      refuse(
        `its tenant claim "${name}" is empty; set "tenantClaimEmpty": "unbound" in TENANT_OIDC_ISSUERS if that means no tenant in particular`,
      )
    }
    if (rules.isRequired) refuse(`its tenant claim "${name}" names no tenant, and "requireTenant" demands one`)
  }
  return rules.map === undefined ? names : mapTenants(names, rules.map)
}

/** Maps values to our tenants. A token with only unknown values stays bound, to a tenant that does not exist. */
function mapTenants(names: readonly string[], map: ReadonlyMap<string, string>): readonly string[] {
  if (names.length === 0) return names
  const known = new Set(names.flatMap((name) => map.get(name) ?? []))
  return known.size === 0 ? [''] : [...known]
}

/** Reads the names in a claim; undefined when it does not have the configured type. */
function namesIn(value: unknown, { type }: TenantClaimRules): readonly string[] | undefined {
  if (value === null || value === '') return []
  if (type === 'string') return typeof value === 'string' ? [value] : undefined
  if (type === 'array') {
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string' && item !== '')) return undefined
    return [...new Set(value as string[])]
  }
  return typeof value === 'object' && !Array.isArray(value) ? Object.keys(value) : undefined
}
