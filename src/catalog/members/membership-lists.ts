import { z } from 'zod'
import { selectList } from '../../core/columns.js'
import { membershipColumns, type Tenant, type UserTenant } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { parse, schemaOf, tenantRef, userRef } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'

/** One entry in a list of the tenants of a user. */
export interface MembershipEntry extends UserTenant {
  readonly slug: string
  readonly tenantName: string
  readonly status: Exclude<Tenant['status'], 'deleted'>
  /** Names of the member's roles. */
  readonly roles: readonly string[]
}

/** One entry in a list of the members of a tenant. */
export interface MemberEntry extends UserTenant {
  readonly email: string
  readonly name: string
  /** Names of the roles that the member holds directly. */
  readonly roles: readonly string[]
}

/** Which members to list. */
export interface MemberListInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the last member of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** Lists of memberships, by user and by tenant. */
export interface MembershipLists {
  /**
   * Lists a user's memberships by slug, without those in deleted tenants. Returns none for an unknown user.
   * @throws TENANCY_REQUEST_INVALID: not text
   */
  listMemberships(user: string): Promise<MembershipEntry[]>
  /** Lists a tenant's members, inactive ones included, by user id. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_REQUEST_INVALID */
  listMembers(input: MemberListInput): Promise<MemberEntry[]>
}

const memberListInput = schemaOf<MemberListInput>()(
  z.strictObject({
    tenant: tenantRef,
    after: z.guid().optional(),
    limit: z.int().min(1).max(1000).default(100),
  }),
)

const columns = `${selectList(membershipColumns, { table: 'membership' })},
  array(
    select role.name from user_tenant_roles as held join roles as role on role.id = held.role_id
    where held.user_id = membership.user_id and held.tenant_id = membership.tenant_id order by role.name
  ) as roles`

/** Creates the lists of memberships. */
export function createMembershipLists({ catalog }: { readonly catalog: SqlPool }): MembershipLists {
  return {
    async listMemberships(user) {
      if (!isUuid(parse(userRef, user, 'user'))) return []
      const { rows } = await catalog.query<MembershipEntry>(
        `select ${columns}, slug, tenant.name as "tenantName", status
         from user_tenants as membership join tenants as tenant on tenant.id = tenant_id
         where user_id = $1 and status <> 'deleted' order by slug`,
        [user],
      )
      return rows
    },

    async listMembers(input) {
      const { tenant, after, limit } = parse(memberListInput, input)
      const { id } = await findTenant(catalog, tenant)
      const { rows } = await catalog.query<MemberEntry>(
        `select ${columns}, email, users.name as name
         from user_tenants as membership join users on users.id = user_id
         where tenant_id = $1 and ($2::uuid is null or user_id > $2) order by user_id limit $3`,
        [id, after ?? null, limit],
      )
      return rows
    },
  }
}
