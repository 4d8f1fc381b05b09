import { z } from '@hono/zod-openapi'
import { defineOperation, type Operation } from '../../operation.js'
import { defaultLimit, moment, pageFrom, pageOf, pageQuery, userId } from '../schemas.js'
import { maybeMoment, userParams } from './shapes.js'

const group = 'Platform: administrators'
const administrator = z
  .object({
    userId,
    email: z.string(),
    name: z.string(),
    disabledAt: maybeMoment,
    grantedAt: moment,
    grantedBy: userId.nullable().openapi({ description: 'Null: an operator, or a user who no longer exists' }),
  })
  .openapi('PlatformAdministrator')

/** Who administers the installation. */
export const administratorOperations: readonly Operation[] = [
  defineOperation({
    id: 'listPlatformAdministrators',
    ...{ method: 'get', path: '/platform/administrators', group },
    summary: 'Lists administrators of the installation by user id',
    access: { platform: true },
    query: z.strictObject({ ...pageQuery, after: userId.optional() }),
    answer: { status: 200, description: 'A page', schema: pageOf('PlatformAdministrators', administrator) },
    async run({ query: { limit = defaultLimit, after }, tenancy }) {
      const read = await tenancy.listPlatformAdministrators({ after, limit: limit + 1 })
      return pageFrom(read, limit, (last) => last.userId)
    },
  }),
  defineOperation({
    id: 'grantPlatformRole',
    ...{ method: 'put', path: '/platform/administrators/{user}', group },
    summary: 'Lets a user administer the installation; once more changes nothing',
    access: { platform: true },
    params: userParams,
    answer: { status: 200, description: 'The administrator', schema: administrator },
    run: ({ params, user, tenancy }) => tenancy.grantPlatformRole({ user: params.user, actor: user.id }),
  }),
  defineOperation({
    id: 'revokePlatformRole',
    ...{ method: 'delete', path: '/platform/administrators/{user}', group },
    summary: 'Ends the right of a user to administer the installation; the last one stays',
    access: { platform: true },
    params: userParams,
    answer: { status: 204, description: 'Ended, with the tokens of the platform that the user has' },
    refusals: [409],
    run: ({ params, user, tenancy }) => tenancy.revokePlatformRole({ user: params.user, actor: user.id }),
  }),
]
