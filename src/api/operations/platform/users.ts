import { z } from '@hono/zod-openapi'
import { TenancyError } from '../../../core/errors/errors.js'
import type { Tenancy } from '../../../tenancy-interface.js'
import { defineOperation, type Operation } from '../../operation.js'
import { defaultLimit, moment, pageFrom, pageOf, pageQuery, userId } from '../schemas.js'
import { flag, maybeMoment, userParams } from './shapes.js'

const group = 'Platform: users'
const email = z.string().min(1).max(320).openapi({ example: 'dana@example.com' })
const platformUser = z
  .object({
    id: userId,
    email: z.string(),
    name: z.string(),
    emailVerified: z.boolean(),
    disabledAt: maybeMoment,
    createdAt: moment,
    updatedAt: moment,
  })
  .openapi('PlatformUser')

const changeOf = (
  { id, path, summary }: Pick<Operation, 'id' | 'path' | 'summary'>,
  change: (tenancy: Tenancy, input: Parameters<Tenancy['disableUser']>[0]) => ReturnType<Tenancy['disableUser']>,
) =>
  defineOperation({
    ...{ id, summary, method: 'post', path: `/platform/users/{user}/${path}`, group },
    access: { platform: true },
    params: userParams,
    answer: { status: 200, description: 'The user as they are now', schema: platformUser },
    refusals: [409],
    run: ({ params, user, tenancy }) => change(tenancy, { user: params.user, actor: user.id }),
  })

/** All users of the installation. */
export const userOperations: readonly Operation[] = [
  defineOperation({
    id: 'listUsers',
    ...{ method: 'get', path: '/platform/users', group },
    summary: 'Lists users by e-mail address',
    access: { platform: true },
    query: z.strictObject({
      ...pageQuery,
      after: email.optional().openapi({ description: '`next` of the page before. Default: the first page' }),
      search: z
        .string()
        .min(1)
        .max(320)
        .optional()
        .openapi({ description: 'Part of the address or name, in any case' }),
      disabled: flag,
    }),
    answer: { status: 200, description: 'A page', schema: pageOf('PlatformUsers', platformUser) },
    async run({ query: { limit = defaultLimit, ...filters }, tenancy }) {
      return pageFrom(await tenancy.listUsers({ ...filters, limit: limit + 1 }), limit, (last) => last.email)
    },
  }),
  defineOperation({
    id: 'findUserByEmail',
    ...{ method: 'get', path: '/platform/users/by-email', group },
    summary: 'Finds the user who has an e-mail address, in any case',
    access: { platform: true },
    query: z.strictObject({ email }),
    answer: { status: 200, description: 'The user', schema: platformUser },
    async run({ query, tenancy }) {
      const user = await tenancy.findUserByEmail(query.email)
      if (user === undefined) throw new TenancyError('TENANCY_USER_NOT_FOUND')
      return user
    },
  }),
  defineOperation({
    id: 'getUser',
    ...{ method: 'get', path: '/platform/users/{user}', group },
    summary: 'Reads a user with their memberships',
    access: { platform: true },
    params: userParams,
    answer: {
      ...{ status: 200, description: 'The user' },
      schema: platformUser
        .extend({
          tenants: z
            .array(
              z.object({
                tenantId: z.guid(),
                slug: z.string(),
                tenantName: z.string(),
                isActive: z.boolean().openapi({ description: 'Whether the membership is active' }),
                isDefault: z.boolean(),
              }),
            )
            .readonly()
            .openapi({ description: 'Tenants that the user is a member of, by slug; deleted ones are left out' }),
        })
        .openapi('PlatformUserDetails'),
    },
    async run({ params, tenancy }) {
      const found = await tenancy.getUser(params.user)
      const memberships = await tenancy.listMemberships(params.user)
      return { ...found, tenants: memberships }
    },
  }),
  defineOperation({
    id: 'createUser',
    ...{ method: 'post', path: '/platform/users', group },
    summary: 'Creates a user, who can log in once they prove the address or set a password',
    access: { platform: true },
    body: z
      .strictObject({
        email,
        name: z.string().max(200).optional(),
        emailVerified: z.boolean().optional().openapi({ description: 'Whether the address is proven. Default: false' }),
      })
      .openapi('NewUser'),
    answer: { status: 201, description: 'The user', schema: platformUser },
    refusals: [409, 422],
    recovery: {
      async find({ body, user, tenancy }, { begunAt }) {
        const found = await tenancy.findUserByEmail(body.email)
        if (found === undefined || found.createdAt < begunAt) return undefined
        const by = { tenant: null, action: 'user.create', by: user.id, from: begunAt, limit: 1000 }
        const entries = await tenancy.audit.list(by)
        return entries.some(({ subject }) => subject === `user:${found.id}`) ? found : undefined
      },
    },
    run: ({ body, user, tenancy }) => tenancy.createUser({ ...body, actor: user.id }),
  }),
  changeOf(
    { id: 'disableUser', path: 'disable', summary: 'Disables a user and ends all their tokens' },
    async (tenancy, input) => {
      // The caller is an enabled administrator, so that only they themselves can be the last one.
      if (input.user.toLowerCase() === input.actor) {
        throw new TenancyError('TENANCY_PLATFORM_LAST_ADMINISTRATOR', 'Have another administrator disable you')
      }
      return tenancy.disableUser(input)
    },
  ),
  changeOf(
    { id: 'enableUser', path: 'enable', summary: 'Enables a user again; they need new tokens' },
    (tenancy, input) => tenancy.enableUser(input),
  ),
  changeOf(
    { id: 'logOutUser', path: 'logout', summary: 'Logs a user out everywhere: every token until now ends' },
    (tenancy, input) => tenancy.revokeUserTokens(input),
  ),
]
