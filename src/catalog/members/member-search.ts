import { z } from 'zod'
import type { RoleName } from '../../core/access/access.js'
import { selectList } from '../../core/columns.js'
import { membershipColumns } from '../../core/model.js'
import { queryRepeated, type SqlPool } from '../../core/sql-client.js'
import { isStorable } from '../../core/text.js'
import { isUuid } from '../../core/uuid.js'
import { name, parse, schemaOf, tenant } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'
import type { MemberProfile } from './member-details.js'
import { inOrder } from '../transaction.js'
import type { MemberEntry } from './membership-lists.js'

/** Which members to find. */
export interface MemberSearchInput {
  /** Id or slug. */
  readonly tenant: string
  /** Part of the e-mail address or name, in any case, at most 320 characters, literally. Default: all. */
  readonly search?: string | undefined
  /** Default: both. */
  readonly status?: 'active' | 'inactive' | undefined
  /** Name of a role that the members hold directly. Default: any. */
  readonly role?: RoleName | undefined
  /** `next` of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** One member that was found. */
export interface FoundMember extends MemberEntry, Pick<MemberProfile, 'position' | 'department'> {}

/** A page of members. */
export interface MemberPage {
  /** By user id. */
  readonly members: readonly FoundMember[]
  /** Number of members that were found, on all pages. */
  readonly total: number
  /** `after` of the next page; null: this is the last one. */
  readonly next: string | null
}

/** Finds members. */
export interface MemberSearch {
  /**
   * Finds a tenant's members by address, name, activity and role, a page at a time, with their number.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_REQUEST_INVALID
   */
  searchMembers(input: MemberSearchInput): Promise<MemberPage>
}

const memberSearchInput = schemaOf<MemberSearchInput>()(
  z.strictObject({
    tenant,
    search: z.string('must be text').max(320, 'is too long').refine(isStorable, 'cannot be stored').optional(),
    status: z.enum(['active', 'inactive']).optional(),
    role: name.optional(),
    after: z.guid().optional(),
    limit: z.int().min(1).max(1000).default(100),
  }),
)

/** Creates the service that finds members. */
export function createMemberSearch(catalog: SqlPool): MemberSearch {
  return {
    async searchMembers(input) {
      const { tenant: ref, search, status, role, after, limit } = parse(memberSearchInput, input)
      const query = searchQuery(search !== undefined, role !== undefined)
      const isActive = status === undefined ? null : status === 'active'
      const find = (id: string) =>
        queryRepeated<FoundMember & { total: number }>(catalog, query, [
          ...[id, after ?? null, limit + 1, isActive, search ?? null, role ?? null],
        ])
      // By an id, both are asked at once.
      const [, { rows }] = isUuid(ref)
        ? await inOrder([findTenant(catalog, ref), find(ref)])
        : [undefined, await find((await findTenant(catalog, ref)).id)]
      const total = rows[0]?.total ?? 0
      // A page without members has one row, with the number alone.
      const found = rows.filter((row) => row.userId !== null).map(({ total: _total, ...member }) => member)
      const members = found.slice(0, limit)
      return { members, total, next: found.length > limit ? (members.at(-1)?.userId ?? null) : null }
    },
  }
}

/**
 * Users and roles are looked at only where the search needs it: of one tenant's members, the server reads the index alone, and the
 * rest for the page.
 */
const searchQuery = (byText: boolean, byRole: boolean) => `
  with found as materialized (
    select membership.user_id from user_tenants as membership
    ${byText ? 'join users on users.id = membership.user_id' : ''}
    where membership.tenant_id = $1 and ($4::boolean is null or membership.is_active = $4)
      and ${byText ? '(strpos(lower(users.email), lower($5)) > 0 or strpos(lower(users.name), lower($5)) > 0)' : '$5::text is null'}
      and ${
        byRole
          ? `exists (
              select from roles as role join user_tenant_roles as held on held.role_id = role.id
              where role.name = $6 and (role.tenant_id is null or role.tenant_id = $1)
                and held.user_id = membership.user_id and held.tenant_id = $1
            )`
          : '$6::text is null'
      }
  ), page as materialized (
    select user_id from found where $2::uuid is null or user_id > $2 order by user_id limit $3
  )
  select counted.total, member.* from (select count(*)::integer as total from found) as counted
  left join (
    select ${selectList(membershipColumns, { table: 'membership' })}, users.email, users.name,
      profile.position, profile.department,
      array(
        select role.name from user_tenant_roles as held join roles as role on role.id = held.role_id
        where held.user_id = membership.user_id and held.tenant_id = membership.tenant_id order by role.name
      ) as roles
    from page
    join user_tenants as membership on membership.user_id = page.user_id and membership.tenant_id = $1
    join users on users.id = membership.user_id
    left join member_profiles as profile on profile.user_id = membership.user_id and profile.tenant_id = membership.tenant_id
  ) as member on true
  order by member."userId"`
