import { z } from '@hono/zod-openapi'
import { requireTenant } from '../../http/require-user.js'
import { defineOperation, type Operation } from '../operation.js'
import { momentOrNull, permissionName, roleId, tenantParams, userId } from './schemas.js'

const group = 'Members'
const manage = { permission: 'roles:manage' }
const memberParams = tenantParams.extend({ user: userId })
const roleParams = memberParams.extend({ role: roleId })
const overrideParams = memberParams.extend({ permission: permissionName })

const effect = z.enum(['allow', 'deny']).openapi({ description: 'Deny wins over everything that grants' })
const override = z
  .object({
    permission: z.string(),
    effect,
    expiresAt: momentOrNull.openapi({ description: 'When it ends; null: never. It may be over' }),
  })
  .openapi('Override')

const effective = z
  .object({
    roles: z.array(z.string()).readonly(),
    permissions: z.array(z.string()).readonly(),
    barrier: z.string().nullable().openapi({
      description: 'Why none of it counts now: docs/access.md; null: it counts',
      example: 'member-inactive',
    }),
  })
  .openapi('MemberPermissions')

/** A moment in a request, as text. */
const futureMoment = z.iso
  .datetime({ offset: true, error: 'must be a moment such as 2030-01-31T12:00:00Z' })
  .transform((text) => new Date(text))
  .refine((date) => date.getTime() > Date.now(), 'must be in the future')
  .openapi({ type: 'string', format: 'date-time' })

/** The roles of a member, and permissions that are allowed or denied to them directly. */
export const memberAccessOperations: readonly Operation[] = [
  defineOperation({
    id: 'assignRole',
    ...{ method: 'put', path: '/tenants/{tenant}/members/{user}/roles/{role}', group },
    summary: 'Assigns a role to a member',
    description: 'The caller must hold everything that the role grants.',
    access: manage,
    params: roleParams,
    answer: { status: 204, description: 'The member holds it' },
    async run({ params: { user: member, role }, scope, tenancy }) {
      await tenancy.access.assignRole({ ...scope, user: member, role })
    },
  }),
  defineOperation({
    id: 'unassignRole',
    ...{ method: 'delete', path: '/tenants/{tenant}/members/{user}/roles/{role}', group },
    summary: 'Takes a role from a member; the last Owner keeps theirs',
    access: manage,
    params: roleParams,
    answer: { status: 204, description: 'The member does not hold it directly' },
    refusals: [409],
    async run({ params: { user: member, role }, scope, tenancy }) {
      await tenancy.access.unassignRole({ ...scope, user: member, role })
    },
  }),
  defineOperation({
    id: 'listMemberPermissions',
    ...{ method: 'get', path: '/tenants/{tenant}/members/{user}/permissions', group },
    summary: 'Lists what a member may do, by roles and overrides',
    access: { permission: 'roles:read' },
    params: memberParams,
    whileImpersonating: true,
    answer: { status: 200, description: 'Names of permissions and of active roles, sorted', schema: effective },
    run: ({ params, context, tenancy }) =>
      tenancy.access.effectivePermissions({ tenant: requireTenant(context).id, user: params.user }),
  }),
  defineOperation({
    id: 'listOverrides',
    ...{ method: 'get', path: '/tenants/{tenant}/members/{user}/overrides', group },
    summary: 'Lists what is allowed or denied to a member directly',
    access: { permission: 'roles:read' },
    params: memberParams,
    whileImpersonating: true,
    answer: {
      ...{ status: 200, description: 'By permission, at most one for each; those that are over are included' },
      schema: z.object({ items: z.array(override).readonly() }).openapi('Overrides'),
    },
    run: async ({ params, context, tenancy }) => ({
      items: await tenancy.access.listOverrides({ tenant: requireTenant(context).id, user: params.user }),
    }),
  }),
  defineOperation({
    id: 'setOverride',
    ...{ method: 'put', path: '/tenants/{tenant}/members/{user}/overrides/{permission}', group },
    summary: 'Allows or denies a member one permission, in place of an earlier override',
    description: 'To allow it, or to replace a deny, the caller must hold the permission.',
    access: manage,
    params: overrideParams,
    body: z
      .strictObject({
        effect,
        expiresAt: futureMoment
          .nullish()
          .openapi({ type: ['string', 'null'], description: 'When it ends. Default, and null: never' }),
      })
      .openapi('NewOverride'),
    answer: { status: 204, description: 'It holds' },
    async run({ params: { user: member, permission }, body, scope, tenancy }) {
      await tenancy.access.setOverride({ ...scope, ...body, user: member, permission })
    },
  }),
  defineOperation({
    id: 'clearOverride',
    ...{ method: 'delete', path: '/tenants/{tenant}/members/{user}/overrides/{permission}', group },
    summary: 'Removes an override',
    description: 'To remove a deny, the caller must hold the permission.',
    access: manage,
    params: overrideParams,
    answer: { status: 204, description: 'There is none' },
    async run({ params: { user: member, permission }, scope, tenancy }) {
      await tenancy.access.clearOverride({ ...scope, user: member, permission })
    },
  }),
]
