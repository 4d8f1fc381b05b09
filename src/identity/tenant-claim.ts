import { type ClaimPath, type IssuerOptions, readClaim } from '../core/identity/issuer.js'
import type { ParsedToken } from './parse-token.js'
import { quote } from './token-refusal.js'

/** How the tokens of one issuer name their tenants. */
export interface TenantClaimRules {
  readonly path: ClaimPath
  readonly type: 'string' | 'array' | 'object'
  /** Whether null, an empty text, array or object count as no claim. */
  readonly mayBeEmpty: boolean
  readonly isRequired: boolean
  readonly map: ReadonlyMap<string, string> | undefined
}

/** More tenants than that are in no token: what a token names is looked up by whoever sends it. */
const maxTenants = 1000

/** undefined when no claim names a tenant. */
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
 * The tenants that a token is for, by id or slug; none: it is for no tenant in particular.
 * @param refuse called with what was found and the setting that would help
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

/** Values that the map lacks are no tenant of ours; a token with none but these stays bound, to nothing. */
function mapTenants(names: readonly string[], map: ReadonlyMap<string, string>): readonly string[] {
  if (names.length === 0) return names
  const known = new Set(names.flatMap((name) => map.get(name) ?? []))
  return known.size === 0 ? [''] : [...known]
}

/** undefined when the claim has not the configured type. */
function namesIn(value: unknown, { type }: TenantClaimRules): readonly string[] | undefined {
  if (value === null || value === '') return []
  if (type === 'string') return typeof value === 'string' ? [value] : undefined
  if (type === 'array') {
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string' && item !== '')) return undefined
    return [...new Set(value as string[])]
  }
  return typeof value === 'object' && !Array.isArray(value) ? Object.keys(value) : undefined
}
