import { z } from '@hono/zod-openapi'
import { TenancyError } from '../../core/errors/errors.js'
import { requireTenant } from '../../http/require-user.js'
import { defineOperation, type Operation } from '../operation.js'
import { defaultLimit, moment, pageQuery, roleName, tenantParams, userId } from './schemas.js'

const memberParams = tenantParams.extend({ user: userId })

const member = z.object({
  userId,
  email: z.string(),
  name: z.string(),
  isActive: z.boolean(),
  roles: z.array(z.string()).readonly().openapi({ description: 'Names of the roles that the member holds directly' }),
  position: z.string().nullable(),
  department: z.string().nullable(),
  createdAt: moment,
})
const details = member
  .extend({
    image: z.string().nullable(),
    attributes: z.record(z.string(), z.unknown()),
    overrides: z.number().int().openapi({ description: 'Number of direct allows and denies' }),
    version: z.string().openapi({ description: 'The ETag, without its quotes' }),
  })
  .openapi('MemberDetails')

const line = z.string().max(200).nullable().optional()
const memberChange = z
  .strictObject({ position: line, department: line, attributes: z.record(z.string(), z.unknown()).optional() })
  .openapi('MemberChange')

/** The members of a tenant: who they are, and leaving. Nobody is made a member by others here: invitations ask them. */
export const memberOperations: readonly Operation[] = [
  defineOperation({
    id: 'listMembers',
    ...{ method: 'get', path: '/tenants/{tenant}/members', group: 'Members' },
    summary: 'Lists members by user id, with their number',
    access: { permission: 'members:read' },
    params: tenantParams,
    query: z.strictObject({
      ...pageQuery,
      search: z.string().max(320).optional().openapi({ description: 'Part of the name or address, in any case' }),
      status: z.enum(['active', 'inactive']).optional(),
      role: roleName.optional(),
    }),
    whileImpersonating: true,
    answer: {
      ...{ status: 200, description: 'A page of members' },
      schema: z
        .object({
          items: z.array(member.openapi('Member')).readonly(),
          total: z.number().int().openapi({ description: 'Number of members on all pages' }),
          next: z.string().nullable(),
        })
        .openapi('Members'),
    },
    async run({ context, query: { limit = defaultLimit, ...query }, tenancy }) {
      const { members, ...page } = await tenancy.searchMembers({ ...query, limit, tenant: requireTenant(context).id })
      return { items: members, ...page }
    },
  }),
  defineOperation({
    id: 'getMember',
    ...{ method: 'get', path: '/tenants/{tenant}/members/{user}', group: 'Members' },
    summary: 'Reads a member with their profile in this tenant',
    access: { permission: 'members:read' },
    params: memberParams,
    whileImpersonating: true,
    answer: { status: 200, description: 'The member', schema: details },
    taggedBy: 'version',
    run: ({ context, params, tenancy }) => tenancy.getMember({ ...params, tenant: requireTenant(context).id }),
  }),
  defineOperation({
    id: 'getOwnMembership',
    ...{ method: 'get', path: '/tenants/{tenant}/members/me', group: 'Members' },
    summary: 'Reads the caller as a member, with their profile in this tenant',
    access: { everyMember: true },
    params: tenantParams,
    whileImpersonating: true,
    answer: { status: 200, description: 'The member', schema: details },
    taggedBy: 'version',
    run: ({ scope: { tenant, actor }, tenancy }) => tenancy.getMember({ tenant, user: actor }),
  }),
  defineOperation({
    id: 'updateOwnMembership',
    ...{ method: 'patch', path: '/tenants/{tenant}/members/me', group: 'Members' },
    summary: 'Changes the caller’s own profile in this tenant; what is left out stays',
    description: 'The `attributes` are the administrators’, unless the application lets members change their own.',
    access: { everyMember: true },
    params: tenantParams,
    body: memberChange,
    answer: { status: 200, description: 'The member as it is now', schema: details },
    ...{ takesTag: true, taggedBy: 'version' },
    async run({ body, scope, tenancy, settings, expectedTag }) {
      if (body.attributes !== undefined && settings.membersChangeAttributes !== true) {
        throw new TenancyError('TENANCY_ACCESS_DENIED', 'Members do not change their own attributes here')
      }
      return tenancy.updateMember({ ...body, ...scope, user: scope.actor, version: expectedTag })
    },
  }),
  defineOperation({
    id: 'updateMember',
    ...{ method: 'patch', path: '/tenants/{tenant}/members/{user}', group: 'Members' },
    summary: 'Changes the profile of a member in this tenant; what is left out stays',
    access: { permission: 'members:update' },
    params: memberParams,
    body: memberChange,
    whileImpersonating: 'onOthers',
    answer: { status: 200, description: 'The member as it is now', schema: details },
    ...{ takesTag: true, taggedBy: 'version' },
    run: ({ params, body, scope, tenancy, expectedTag }) =>
      tenancy.updateMember({
        ...{ ...body, ...scope, user: params.user },
        version: expectedTag,
      }),
  }),
  defineOperation({
    id: 'setMemberRoles',
    ...{ method: 'put', path: '/tenants/{tenant}/members/{user}/roles', group: 'Members' },
    summary: 'Replaces the roles that a member holds directly',
    access: { permission: 'roles:manage' },
    params: memberParams,
    body: z.strictObject({ roles: z.array(roleName).max(100).readonly() }).openapi('MemberRoles'),
    answer: { status: 200, description: 'The member as it is now', schema: details },
    ...{ refusals: [409], taggedBy: 'version' },
    async run({ context, params, body, user, tenancy }) {
      const key = { tenant: requireTenant(context).id, user: params.user }
      await tenancy.access.setMemberRoles({ ...key, roles: body.roles, actor: user.id })
      return tenancy.getMember(key)
    },
  }),
  defineOperation({
    id: 'setMemberActive',
    ...{ method: 'put', path: '/tenants/{tenant}/members/{user}/active', group: 'Members' },
    summary: 'Deactivates a member, or activates them again; roles are kept',
    access: { permission: 'members:update' },
    params: memberParams,
    body: z.strictObject({ isActive: z.boolean() }).openapi('MemberActive'),
    answer: { status: 200, description: 'The member as it is now', schema: details },
    ...{ refusals: [409], taggedBy: 'version' },
    async run({ context, params, body, user, tenancy }) {
      const key = { tenant: requireTenant(context).id, user: params.user }
      await tenancy.setMemberActive({ ...key, ...body, actor: user.id })
      return tenancy.getMember(key)
    },
  }),
  defineOperation({
    id: 'removeMember',
    ...{ method: 'delete', path: '/tenants/{tenant}/members/{user}', group: 'Members' },
    summary: 'Ends a membership, with its roles and overrides',
    access: { permission: 'members:delete' },
    params: memberParams,
    answer: { status: 204, description: 'Removed' },
    refusals: [409],
    async run({ params, scope, tenancy }) {
      await tenancy.removeMember({ ...scope, user: params.user })
    },
  }),
  defineOperation({
    id: 'leaveTenant',
    ...{ method: 'post', path: '/tenants/{tenant}/leave', group: 'Members' },
    summary: 'Ends the caller’s own membership; the last Owner stays',
    access: { everyMember: true },
    params: tenantParams,
    answer: { status: 204, description: 'Left' },
    refusals: [409],
    async run({ context, user, tenancy }) {
      await tenancy.leaveTenant({ tenant: requireTenant(context).id, user: user.id })
    },
  }),
]
