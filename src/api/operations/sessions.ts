import { z } from '@hono/zod-openapi'
import { TenancyError } from '../../core/errors/errors.js'
import { defineOperation, type Operation, type OperationCall } from '../operation.js'
import { defaultLimit, moment, pageFrom, pageOf, pageQuery } from './schemas.js'

const session = z
  .object({
    id: z.guid(),
    isCurrent: z.boolean().openapi({ description: 'Whether the access token of this request belongs to it' }),
    createdAt: moment,
    lastUsedAt: moment,
    expiresAt: moment,
    userAgent: z.string().nullable(),
    address: z.string().nullable().openapi({ description: 'The network that it was last used from, shortened' }),
    inCookie: z.boolean(),
    tenantId: z.guid().nullable().openapi({ description: 'The tenant that its access tokens are bound to' }),
  })
  .openapi('Session')

/** The session that the access token of a request belongs to; tokens of other issuers belong to none of ours. */
function currentSession({ context }: Pick<OperationCall<unknown, unknown, unknown>, 'context'>): string | undefined {
  const sid = context.token?.isOwn === true ? context.token.claims['sid'] : undefined
  return typeof sid === 'string' ? sid : undefined
}

/** The logins of the caller. */
export const sessionOperations: readonly Operation[] = [
  defineOperation({
    id: 'listOwnSessions',
    ...{ method: 'get', path: '/me/sessions', group: 'Me' },
    summary: 'Lists the sessions of the caller, newest first',
    access: { everyUser: true },
    query: z.strictObject({ ...pageQuery, after: z.guid('must be the `next` of a page').optional() }),
    answer: { status: 200, description: 'A page of sessions', schema: pageOf('Sessions', session) },
    async run({ context, user, query: { after, limit = defaultLimit }, tenancy }) {
      const current = currentSession({ context })
      const found = await tenancy.listSessions({ user: user.id, after, limit: limit + 1 })
      const { items, next } = pageFrom(found, limit, ({ id }) => id)
      return { items: items.map((one) => ({ ...one, isCurrent: one.id === current })), next }
    },
  }),
  defineOperation({
    id: 'endOwnSession',
    ...{ method: 'delete', path: '/me/sessions/{session}', group: 'Me' },
    summary: 'Ends a session of the caller; all access tokens end, and the other sessions refresh theirs',
    access: { everyUser: true },
    params: z.strictObject({ session: z.guid('must be a UUID') }),
    answer: { status: 204, description: 'Ended' },
    refusals: [404],
    async run({ params, user, tenancy }) {
      await tenancy.endSession({ user: user.id, session: params.session, actor: user.id })
    },
  }),
  defineOperation({
    id: 'endOtherSessions',
    ...{ method: 'delete', path: '/me/sessions', group: 'Me' },
    summary: 'Ends all sessions of the caller but the one of this request',
    access: { everyUser: true },
    answer: {
      ...{ status: 200, description: 'How many ended' },
      schema: z.object({ ended: z.number().int() }).openapi('EndedSessions'),
    },
    refusals: [409],
    async run({ context, user, tenancy }) {
      const current = currentSession({ context })
      // Without it, all would end, which the caller has not asked for.
      if (current === undefined) throw new TenancyError('TENANCY_SESSION_NONE')
      return { ended: await tenancy.endOtherSessions({ user: user.id, session: current, actor: user.id }) }
    },
  }),
]
