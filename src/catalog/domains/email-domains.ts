import { TenancyError } from '../../core/errors/errors.js'
import type { UserTenant } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'
import { refuseToGiveMore } from '../access/authority.js'
import { commitChange, findRoles } from '../access/lookup.js'
import { createChange, type TenantScope } from '../change.js'
import { parse } from '../input.js'
import { join, joiningQuery } from '../members/joining.js'
import { inOrder } from '../transaction.js'
import {
  domainChangeInput,
  type DomainChangeInput,
  type DomainListInput,
  emailDomainUpdateInput,
  type EmailDomainUpdateInput,
  joiningUserInput,
  type JoiningUserInput,
  joinTenantInput,
  type JoinTenantInput,
  newEmailDomainInput,
  type NewEmailDomainInput,
} from './domain-input.js'
import { normalizeEmailDomain } from './domain-name.js'
import { domainList, type EmailDomain, noDomain } from './domain-row.js'
import { deleteDomain, type DomainsOptions, insertDomain, listDomains, requireRoom, verify } from './domain-store.js'

/** A tenant that a user may join. */
export interface JoinableTenant {
  readonly tenantId: string
  readonly slug: string
  readonly name: string
  /** The domain of the user's address, which the tenant has proven. */
  readonly domain: string
}

/** Domains of e-mail addresses, whose owners join a tenant when they ask to. */
export interface EmailDomains {
  /**
   * Adds a domain, not proven yet. Nobody joins by it before `verifyEmailDomain` has found its record.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_DOMAIN_INVALID (also a provider of addresses for everybody), TENANCY_DOMAIN_EXISTS,
   *   TENANCY_DOMAIN_LIMIT_REACHED, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_GRANT_REFUSED
   */
  addEmailDomain(input: NewEmailDomainInput): Promise<EmailDomain>
  /**
   * Looks for the record of a domain now.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_DOMAIN_NOT_FOUND, TENANCY_DOMAIN_NOT_PROVEN, TENANCY_DOMAIN_TAKEN
   */
  verifyEmailDomain(input: DomainChangeInput): Promise<EmailDomain>
  /** Lists a tenant's e-mail domains in the order in which they were added. @throws TENANCY_TENANT_NOT_FOUND */
  listEmailDomains(input: DomainListInput): Promise<EmailDomain[]>
  /**
   * Replaces the roles of those who join from now on. The actor is who gives them.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_DOMAIN_NOT_FOUND, TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_GRANT_REFUSED
   */
  updateEmailDomain(input: EmailDomainUpdateInput): Promise<EmailDomain>
  /** Removes a domain; who has joined by it stays. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_DOMAIN_NOT_FOUND */
  removeEmailDomain(input: DomainChangeInput): Promise<void>
  /** Lists the tenants that a user may join by the domain of their verified address. */
  listJoinableTenants(input: JoiningUserInput): Promise<JoinableTenant[]>
  /**
   * Makes a user a member by the domain of their verified address. Whoever gave the domain its roles must still hold them.
   * @throws TENANCY_DOMAIN_JOIN_REFUSED (for whatever reason), TENANCY_MEMBER_EXISTS, TENANCY_MEMBER_LIMIT_REACHED
   */
  joinTenant(input: JoinTenantInput): Promise<UserTenant>
}

const joinQuery = joiningQuery('join_by_domain($1, $2)')

/** Creates the part of the service that is about e-mail. */
export function createEmailDomains(options: DomainsOptions & { readonly maxPerTenant: number }): EmailDomains {
  const { catalog, baseDomain, resolveTxt, maxPerTenant } = options
  const change = createChange(catalog)
  return {
    addEmailDomain: change.ofTenant(newEmailDomainInput, async (client, input, scope) => {
      const name = normalizeEmailDomain(input.domain, baseDomain)
      const [, roleIds] = await inOrder([
        requireRoom(client, scope.tenantId, 'email', name, maxPerTenant),
        findRolesToGive(client, scope, input.roles ?? []),
      ])
      return insertDomain<EmailDomain>(client, scope, { purpose: 'email', name, roleIds })
    }),
    verifyEmailDomain: (input) => verify<EmailDomain>(catalog, resolveTxt, 'email', input),
    listEmailDomains: (input) => listDomains<EmailDomain>(catalog, 'email', input),
    updateEmailDomain: change.ofTenant(emailDomainUpdateInput, async (client, { domain: id, roles }, scope) => {
      const [roleIds, { rowCount }] = await inOrder([
        findRolesToGive(client, scope, roles),
        client.query(
          "select from tenant_domains where id = $1 and tenant_id = $2 and purpose = 'email' for no key update",
          [id, scope.tenantId],
        ),
      ])
      if (rowCount === 0) throw noDomain(id)
      const [{ rows }] = await inOrder([
        client.query<EmailDomain>(
          `update tenant_domains set role_ids = $2, roles_by = $3 where id = $1 returning ${domainList('email')}`,
          [id, roleIds, scope.actorId],
        ),
        commitChange(client, scope, 'domain.roles', `domain:${id}`, null, { roles }),
      ])
      return rows[0] as EmailDomain
    }),
    removeEmailDomain: change.ofTenant(domainChangeInput, (client, input, scope) =>
      deleteDomain(client, scope, 'email', input.domain),
    ),

    async listJoinableTenants(input) {
      const { user } = parse(joiningUserInput, input)
      const { rows } = await catalog.query<JoinableTenant>(
        `select tenants.id as "tenantId", tenants.slug, tenants.name, domain.name as domain
         from users
         join tenant_domains as domain on domain.purpose = 'email' and domain.state = 'proven'
           and domain.name = split_part(plain_address(users.email), '@', 2)
         join tenants on tenants.id = domain.tenant_id and tenants.status = 'active'
         where users.id = $1 and users.email_verified and users.disabled_at is null
           and not exists (select from user_tenants as own where (own.tenant_id, own.user_id) = (tenants.id, users.id))
           and not exists (select from removed_members as gone where (gone.tenant_id, gone.user_id) = (tenants.id, users.id))`,
        [user],
      )
      return rows
    },

    async joinTenant(input) {
      const { tenant, user } = parse(joinTenantInput, input)
      // One error for every reason, so that it tells a stranger nothing.
      return join(catalog, joinQuery, [tenant, user], () => new TenancyError('TENANCY_DOMAIN_JOIN_REFUSED'))
    },
  }
}

/**
 * Finds roles that whoever joins may be given: those that the actor holds, and none that is or includes Owner or Admin.
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_ACCESS_GRANT_REFUSED
 */
async function findRolesToGive(client: SqlClient, scope: TenantScope, names: readonly string[]): Promise<string[]> {
  const wanted = [...new Set(names)].toSorted()
  const [found, , { rows }] = await inOrder([
    findRoles(client, scope.tenantId, wanted, { lock: true }),
    refuseToGiveMore(client, scope, { roles: wanted }),
    client.query<{ leads: boolean }>(
      `select leads_to_admin(array(
         select id from roles where name = any ($2::text[]) and (tenant_id is null or tenant_id = $1)
       )) as leads`,
      [scope.tenantId, wanted],
    ),
  ])
  if (rows[0]?.leads === true) {
    throw new TenancyError('TENANCY_ACCESS_GRANT_REFUSED', 'Nobody becomes Owner or Admin by the domain of an address')
  }
  return found.map((role) => role.id)
}
