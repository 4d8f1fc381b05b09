import type { MemberRecord } from '../core/access/access.js'
import { TenancyError } from '../core/errors/errors.js'
import type { UserRecord } from '../core/identity/identity.js'
import type { DirectoryCache, HostDirectory, Remembered, TenantResolver } from '../core/request-path.js'
import { parseTenantRef, type TenantRef } from '../core/tenants/slug.js'
import type { AskedTenant } from './asked-tenant.js'
import { askedByClaim, refuseSuccessor, requireAmongTenants } from './claim.js'
import { askedByHeader } from './header.js'
import { createHostReader, spellHost } from './host.js'
import { askedByPath } from './path.js'

/** Options of {@link createTenantResolver}. */
export interface TenantResolverOptions {
  readonly members: Pick<DirectoryCache, 'findMember' | 'findDefaultMember'>
  /** `TENANT_BASE_DOMAIN`, in lower case. undefined: the host names no tenant. */
  readonly baseDomain: string | undefined
  /** Hosts that tenants have proven. Default: they name no tenant. */
  readonly hosts?: HostDirectory | undefined
  /** `TENANT_REQUIRE_NAMED_TENANT`: `members` gives a user of several tenants no default one. Default: false. */
  readonly requireNamedTenant?: boolean | undefined
}

/**
 * Creates the resolver that finds the tenant of a request: by header, token claim, host and path. All of these that name a
 * tenant must agree.
 *
 * Membership is checked before agreement. A user who names a foreign tenant thus gets the same answer, whatever else the
 * request says, and cannot find out whether the tenant exists.
 */
export function createTenantResolver(options: TenantResolverOptions): TenantResolver {
  const { members, baseDomain, hosts, requireNamedTenant = false } = options
  const slugOfHost = createHostReader(baseDomain)

  async function findAsked(refs: readonly TenantRef[], user: Remembered<UserRecord>, sinceMs: number) {
    const found = await Promise.all(refs.map((ref) => members.findMember(user, ref, sinceMs)))
    let chosen: Remembered<MemberRecord> | undefined
    let isConflict = false
    for (const member of found) {
      if (!member?.value.membership.isActive) throw new TenancyError('TENANCY_TENANT_FORBIDDEN')
      if (chosen !== undefined && chosen.value.tenant.id !== member.value.tenant.id) isConflict = true
      chosen ??= member
    }
    if (isConflict) {
      throw new TenancyError('TENANCY_TENANT_CONFLICT', 'Header, token, host and path must name the same tenant')
    }
    return chosen
  }

  async function findDefault(user: Remembered<UserRecord>, sinceMs: number) {
    const answer = await members.findDefaultMember(user, sinceMs)
    if (answer.kind === 'ambiguous') {
      throw new TenancyError(
        'TENANCY_TENANT_REQUIRED',
        'You are a member of several tenants: send the header X-Tenant-Id with the id or slug of one' +
          (requireNamedTenant ? '' : ', or make one your default'),
      )
    }
    if (answer.kind === 'none' || !answer.member.value.membership.isActive) {
      throw new TenancyError('TENANCY_TENANT_NONE')
    }
    return answer.member
  }

  return {
    readsHost: baseDomain !== undefined || hosts !== undefined,
    nameOfHost(host, sinceMs) {
      const slug = slugOfHost(host)
      if (slug !== undefined || hosts === undefined || host === undefined) return slug
      const name = spellHost(host, baseDomain)
      return name === undefined ? undefined : hosts.find(name, sinceMs)
    },
    async resolve(sources, byHost, token, user, sinceMs) {
      const refs: TenantRef[] = []
      for (const asked of [
        askedByHeader(sources.tenantHeader),
        askedByClaim(token),
        askedByHost(byHost),
        askedByPath(sources.pathTenant),
      ]) {
        if (asked === undefined) continue
        if (asked === 'malformed') throw new TenancyError('TENANCY_TENANT_FORBIDDEN')
        if (!refs.some((ref) => ref.kind === asked.kind && ref.value === asked.value)) refs.push(asked)
      }
      const member = (await findAsked(refs, user, sinceMs)) ?? (await findDefault(user, sinceMs))
      requireAmongTenants(token, member.value.tenant, refs.length > 0)
      refuseSuccessor(token, member.value.tenant)
      const { status } = member.value.tenant
      if (status === 'suspended') throw new TenancyError('TENANCY_TENANT_SUSPENDED')
      if (status === 'deleted') throw new TenancyError('TENANCY_TENANT_DELETED')
      return member
    },
  }
}

function askedByHost(name: string | undefined): AskedTenant {
  if (name === undefined) return undefined
  return parseTenantRef(name) ?? 'malformed'
}
