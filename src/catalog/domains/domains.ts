import type { SqlClient } from '../../core/sql-client.js'
import { createChange } from '../change.js'
import { parse } from '../input.js'
import {
  domainChangeInput,
  type DomainChangeInput,
  type DomainListInput,
  hostInput,
  type HostInput,
  newDomainInput,
  type NewDomainInput,
} from './domain-input.js'
import { normalizeDomainName } from './domain-name.js'
import type { CustomDomain } from './domain-row.js'
import { deleteDomain, type DomainsOptions, insertDomain, listDomains, requireRoom, verify } from './domain-store.js'
import { createEmailDomains, type EmailDomains } from './email-domains.js'

/**
 * Hosts of tenants. A tenant proves a host by a TXT record with a value of its own. A host counts for one tenant at a time. Every
 * change is audited.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface Domains extends EmailDomains {
  /**
   * Adds a host, not proven yet: publish `recordValue` as TXT record at `recordName`, then call `verifyDomain`.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_DOMAIN_INVALID, TENANCY_DOMAIN_EXISTS, TENANCY_DOMAIN_LIMIT_REACHED
   */
  addDomain(input: NewDomainInput): Promise<CustomDomain>
  /**
   * Looks for the record of a host now. Its first proof gives the host to the tenant.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_DOMAIN_NOT_FOUND, TENANCY_DOMAIN_NOT_PROVEN, TENANCY_DOMAIN_TAKEN
   */
  verifyDomain(input: DomainChangeInput): Promise<CustomDomain>
  /** Lists a tenant's hosts in the order in which they were added. @throws TENANCY_TENANT_NOT_FOUND */
  listDomains(input: DomainListInput): Promise<CustomDomain[]>
  /**
   * Removes a host. Requests by it name no tenant from then on, in each process within `TENANT_MAX_STALENESS_MS`.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_DOMAIN_NOT_FOUND
   */
  removeDomain(input: DomainChangeInput): Promise<void>
  /** Tells whether a host is proven for an active tenant. Makes one query. For certificates on demand. */
  isProvenHost(input: HostInput): Promise<boolean>
}

/** Creates the service for domains. */
export function createDomains(options: DomainsOptions): Domains {
  const { catalog, baseDomain, resolveTxt, maxPerTenant = 20 } = options
  const change = createChange(catalog)
  return {
    addDomain: change.ofTenant(newDomainInput, async (client, input, scope) => {
      const name = normalizeDomainName(input.host, baseDomain)
      await requireRoom(client, scope.tenantId, 'web', name, maxPerTenant)
      return insertDomain<CustomDomain>(client, scope, { purpose: 'web', name, roleIds: [] })
    }),
    verifyDomain: (input) => verify<CustomDomain>(catalog, resolveTxt, 'web', input),
    listDomains: (input) => listDomains<CustomDomain>(catalog, 'web', input),
    removeDomain: change.ofTenant(domainChangeInput, (client, input, scope) =>
      deleteDomain(client, scope, 'web', input.domain),
    ),
    async isProvenHost(input) {
      const host = parse(hostInput, input).host.toLowerCase()
      if (!/^[a-z0-9.-]{3,253}$/.test(host)) return false
      const { rowCount } = await catalog.query(
        `select from tenant_domains as domain join tenants on tenants.id = domain.tenant_id and tenants.status = 'active'
         where domain.purpose = 'web' and domain.name = $1 and domain.state in ('proven', 'failing')`,
        [host],
      )
      return rowCount === 1
    },
    ...createEmailDomains({ ...options, maxPerTenant }),
  }
}

/** Reads which tenant a host is proven for, by id. The host is in its one spelling. */
export async function readTenantOfHost(catalog: SqlClient, host: string): Promise<string | undefined> {
  const { rows } = await catalog.query<{ tenantId: string }>(
    `select tenant_id as "tenantId" from tenant_domains
     where purpose = 'web' and name = $1 and state in ('proven', 'failing')`,
    [host],
  )
  return rows[0]?.tenantId
}
