import { z } from 'zod'
import { selectList } from '../../core/columns.js'
import { membershipColumns } from '../../core/model.js'
import type { SqlClient } from '../../core/sql-client.js'
import { isStorable } from '../../core/text.js'
import { shownLine } from '../input.js'
import { noMember } from '../access/lookup.js'
import type { MemberEntry } from './membership-lists.js'

/** What an application keeps about a member inside of one tenant: a JSON object of at most 8 KiB. */
export type MemberAttributes = Readonly<Record<string, unknown>>

/** A member's profile inside of one tenant. */
export interface MemberProfile {
  readonly position: string | null
  readonly department: string | null
  readonly attributes: MemberAttributes
}

/** A member with everything that is kept about them in this tenant. */
export interface MemberDetails extends MemberEntry, MemberProfile {
  readonly image: string | null
  /** Number of direct allows and denies, expired ones included. */
  readonly overrides: number
  /**
   * Differs after every change of what is shown here, and of the overrides; for an ETag. `isDefault` and `updatedAt` do not count:
   * the user's choice of a default tenant changes them.
   */
  readonly version: string
}

const maxAttributeBytes = 8192
const json = z.record(z.string(), z.json())

/** Checks {@link MemberAttributes}. */
export const memberAttributes = z.custom<MemberAttributes>(
  isAttributes,
  `must be a JSON object of at most ${maxAttributeBytes} bytes`,
)

/** A position or department; null: none. */
export const profileLine = shownLine(1, 200).nullable()

function isAttributes(value: unknown): boolean {
  // Beyond a few thousand levels a check by recursion ends the stack.
  if (typeof value !== 'object' || !isShallow(value) || !json.safeParse(value).success) return false
  let isTextStorable = true
  const text = JSON.stringify(value, (key, each: unknown) => {
    isTextStorable &&= isStorable(key) && (typeof each !== 'string' || isStorable(each))
    return each
  })
  return isTextStorable && Buffer.byteLength(text) <= maxAttributeBytes
}

function isShallow(value: unknown, levels = 32): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every((each) => isShallow(each, levels - 1))
}

// What the version covers is listed in the order of MemberDetails. Times as numbers: their text depends on the session.
const detailsQuery = `
  select ${selectList(membershipColumns, { table: 'membership' })},
    users.email, users.name, users.image, profile.position, profile.department,
    coalesce(profile.attributes, '{}') as attributes, held.roles, direct.overrides,
    left(encode(sha256(convert_to(jsonb_build_array(
      membership.user_id, membership.tenant_id, membership.is_active, extract(epoch from membership.created_at),
      users.email, users.name, users.image, profile.position, profile.department, coalesce(profile.attributes, '{}'),
      held.roles, direct.listed
    )::text, 'UTF8')), 'hex'), 32) as version
  from user_tenants as membership
  join users on users.id = membership.user_id
  left join member_profiles as profile
    on (profile.user_id, profile.tenant_id) = (membership.user_id, membership.tenant_id)
  cross join lateral (
    select array(
      select role.name from user_tenant_roles as given join roles as role on role.id = given.role_id
      where given.user_id = membership.user_id and given.tenant_id = membership.tenant_id order by role.name
    ) as roles
  ) as held
  cross join lateral (
    select count(*)::integer as overrides,
      jsonb_agg(jsonb_build_array(permission_id, effect, extract(epoch from expires_at)) order by permission_id) as listed
    from user_tenant_permissions as override
    where override.user_id = membership.user_id and override.tenant_id = membership.tenant_id
  ) as direct
  where membership.user_id = $1 and membership.tenant_id = $2`

/** Reads a member, active or not. @throws {@link TenancyError} TENANCY_MEMBER_NOT_FOUND */
export async function readMemberDetails(client: SqlClient, tenantId: string, userId: string): Promise<MemberDetails> {
  const { rows } = await client.query<MemberDetails>(detailsQuery, [userId, tenantId])
  if (rows[0] !== undefined) return rows[0]
  throw noMember(userId, tenantId)
}
