import { TenancyError } from '../../core/errors/errors.js'
import type { SqlPool } from '../../core/sql-client.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { type Found, lookUp, type ResolveTxt } from './txt-resolver.js'

/** What hosts and e-mail domains of a tenant have in common. */
interface DomainFacts {
  /** A UUIDv7. */
  readonly id: string
  readonly tenantId: string
  /**
   * `pending`: not proven yet. `proven`. `failing`: was proven, and its record was not found lately. `lapsed`: its record was
   * not found for 72 hours, and it counts no more until it is proven again.
   */
  readonly state: 'pending' | 'proven' | 'failing' | 'lapsed'
  /** The TXT record that proves it. */
  readonly recordName: string
  readonly recordValue: string
  readonly provenAt: Date | null
  readonly checkedAt: Date | null
  readonly failingSince: Date | null
  readonly createdAt: Date
}

/** A host of a tenant. */
export interface CustomDomain extends DomainFacts {
  /** In lower case and ASCII. */
  readonly host: string
}

/** A domain of e-mail addresses whose owners may join a tenant. */
export interface EmailDomain extends DomainFacts {
  /** In lower case and ASCII. */
  readonly domain: string
  /** Names of the roles that are given, sorted. One that was deleted meanwhile is missing. */
  readonly roles: readonly string[]
}

/** SQL: the columns of a domain of a purpose, from a row of `tenant_domains`. */
export function domainList(purpose: Purpose, row = 'tenant_domains'): string {
  const own =
    purpose === 'web'
      ? `${row}.name as host, '_tenants2fast-challenge.' || ${row}.name as "recordName"`
      : `${row}.name as domain, '_tenants2fast-email.' || ${row}.name as "recordName",
         array(select role.name from roles as role where role.id = any (${row}.role_ids) order by role.name) as roles`
  return `${row}.id, ${row}.tenant_id as "tenantId", ${row}.state, ${own}, ${row}.challenge as "recordValue",
    ${row}.proven_at as "provenAt", ${row}.checked_at as "checkedAt", ${row}.failing_since as "failingSince",
    ${row}.created_at as "createdAt"`
}

/** What a domain is for. */
export type Purpose = 'web' | 'email'

/** A domain whose record is looked for. */
export interface DomainToCheck {
  readonly id: string
  readonly purpose: Purpose
  readonly name: string
  readonly challenge: string
}

/** The error for a domain that the tenant does not have. */
export function noDomain(id: string): TenancyError {
  return new TenancyError('TENANCY_DOMAIN_NOT_FOUND', `The tenant has no domain ${id}`)
}

/**
 * Looks for the record of a domain and writes what was found: one statement, which is a transaction of its own. No answer counts as
 * no record: only time takes a proven domain away.
 *
 * @throws {@link TenancyError} TENANCY_DOMAIN_NOT_FOUND, TENANCY_DOMAIN_TAKEN
 */
export async function checkDomain(
  catalog: SqlPool,
  resolveTxt: ResolveTxt,
  { id, purpose, name, challenge }: DomainToCheck,
  actor: string | null,
): Promise<{ readonly found: Found; readonly domain: object }> {
  const found = await lookUp(resolveTxt, { purpose, name, challenge })
  const { rows } = await queryAudited<{ readonly outcome: string }>(
    catalog,
    `select outcome, ${domainList(purpose, '(domain)')} from settle_domain($1, $2, $3, $4)`,
    [id, challenge, found === 'published', actor],
  )
  const { outcome, ...domain } = rows[0] ?? { outcome: 'gone' }
  if (outcome === 'gone') throw noDomain(id)
  if (outcome === 'taken') {
    throw new TenancyError('TENANCY_DOMAIN_TAKEN', `The domain ${name} counts for another tenant of this installation`)
  }
  return { found, domain }
}
