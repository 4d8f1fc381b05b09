import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { ActorOption } from '../../core/audit-actor.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlPool } from '../../core/sql-client.js'
import { commitChange, findMemberToChange } from '../access/lookup.js'
import { createChange } from '../change.js'
import { actor, parse, schemaOf, tenant, user } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder } from '../transaction.js'
import {
  memberAttributes,
  type MemberAttributes,
  type MemberDetails,
  type MemberProfile,
  profileLine,
  readMemberDetails,
} from './member-details.js'

/** A member to read. */
export interface MemberKeyInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the user who is the member. */
  readonly user: string
}

/** A change of a member's profile. What is left out stays. */
export interface MemberUpdateInput extends MemberKeyInput, ActorOption {
  /** One line of at most 200 characters; null: none. */
  readonly position?: string | null | undefined
  /** One line of at most 200 characters; null: none. */
  readonly department?: string | null | undefined
  /** A JSON object of at most 8 KiB and 32 levels, which replaces the earlier one. */
  readonly attributes?: MemberAttributes | undefined
  /** The version that the caller has read: the change is refused if the member has another one by now. Default: any. */
  readonly version?: string | undefined
}

/** Reads members and changes their profiles. */
export interface MemberProfiles {
  /** Reads a member, active or not. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_REQUEST_INVALID */
  getMember(input: MemberKeyInput): Promise<MemberDetails>
  /**
   * Changes a member's profile in this tenant, and nothing that access depends on. The audit entry names the fields that
   * changed, without their content.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND, TENANCY_MEMBER_VERSION_CONFLICT,
   *   TENANCY_ACCESS_CHANGE_REFUSED, TENANCY_REQUEST_INVALID
   */
  updateMember(input: MemberUpdateInput): Promise<MemberDetails>
}

const memberKeyInput = schemaOf<MemberKeyInput>()(z.strictObject({ tenant, user }))
const memberUpdateInput = schemaOf<MemberUpdateInput>()(
  z.strictObject({
    tenant,
    user,
    position: profileLine.optional(),
    department: profileLine.optional(),
    attributes: memberAttributes.optional(),
    version: z.string().max(100).optional(),
    actor,
  }),
)

const fields = ['position', 'department', 'attributes'] as const

/** Creates the service for the profiles of members. */
export function createMemberProfiles(catalog: SqlPool): MemberProfiles {
  const change = createChange(catalog)
  return {
    async getMember(input) {
      const key = parse(memberKeyInput, input)
      const { id } = await findTenant(catalog, key.tenant)
      return readMemberDetails(catalog, id, key.user)
    },

    updateMember: change.ofTenant(memberUpdateInput, async (client, input, scope) => {
      const [, before] = await inOrder([
        findMemberToChange(client, scope, input.user),
        readMemberDetails(client, scope.tenantId, input.user),
      ])
      if (input.version !== undefined && input.version !== before.version) {
        throw new TenancyError(
          'TENANCY_MEMBER_VERSION_CONFLICT',
          `The member ${input.user} has the version ${before.version}, not ${JSON.stringify(input.version)}`,
        )
      }
      const after: MemberProfile = {
        position: input.position === undefined ? before.position : input.position,
        department: input.department === undefined ? before.department : input.department,
        attributes: input.attributes ?? before.attributes,
      }
      const changed = fields.filter((field) => !isDeepStrictEqual(before[field], after[field]))
      if (changed.length === 0) return before
      const [, details] = await inOrder([
        client.query(
          `insert into member_profiles (user_id, tenant_id, position, department, attributes) values ($1, $2, $3, $4, $5)
           on conflict (user_id, tenant_id) do update
             set position = excluded.position, department = excluded.department, attributes = excluded.attributes`,
          [input.user, scope.tenantId, after.position, after.department, JSON.stringify(after.attributes)],
        ),
        readMemberDetails(client, scope.tenantId, input.user),
        commitChange(client, scope, 'member.profile.update', `user:${input.user}`, null, { fields: changed }),
      ])
      return details
    }),
  }
}
