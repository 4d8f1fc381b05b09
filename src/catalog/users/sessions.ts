import { z } from 'zod'
import type { ActorOption } from '../../core/audit-actor.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlPool } from '../../core/sql-client.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'
import { actor, parse, schemaOf, user } from '../input.js'

/** A login of a user, from its beginning until it ends. */
export interface UserSession {
  /** Access tokens of the session name it in their claim `sid`. No part of a token. */
  readonly id: string
  readonly createdAt: Date
  /** When it was last refreshed. */
  readonly lastUsedAt: Date
  readonly expiresAt: Date
  /** What the browser or app said of itself, at most 200 ASCII characters; null: nothing. */
  readonly userAgent: string | null
  /** The network that it was last used from: a /24 of IPv4 or a /48 of IPv6; null: not known. */
  readonly address: string | null
  /** Whether a browser keeps its refresh token in a cookie. */
  readonly inCookie: boolean
  /** Id of the tenant that its access tokens are for; null: for none in particular. */
  readonly tenantId: string | null
}

/** Which sessions to list. */
export interface SessionListInput {
  /** Id of the user. */
  readonly user: string
  /** Id of the last session of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** A session to end. */
export interface SessionEndInput extends ActorOption {
  /** Id of the user. */
  readonly user: string
  /** Id of the session. */
  readonly session: string
}

/** The sessions of a user to end. */
export interface OtherSessionsInput extends ActorOption {
  /** Id of the user. */
  readonly user: string
  /** Id of the session that stays. Default, and null: none stays. */
  readonly session?: string | null | undefined
}

/**
 * The sessions of users: logins through `tenants2fast/accounts`. Those of other issuers are not known here.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape, and TENANCY_CATALOG_UNAVAILABLE.
 */
export interface Sessions {
  /** Lists a user's sessions, newest first. An unknown user has none. */
  listSessions(input: SessionListInput): Promise<UserSession[]>
  /**
   * Ends a session: its refresh token at once. All access tokens of the user end with it, and the other sessions get new ones when
   * they refresh.
   * @throws TENANCY_SESSION_NOT_FOUND
   */
  endSession(input: SessionEndInput): Promise<void>
  /** Ends all sessions of a user but one, as {@link Sessions.endSession} does. Returns how many ended. */
  endOtherSessions(input: OtherSessionsInput): Promise<number>
}

const session = z.guid('is not the id of a session (a UUID)').transform((id) => id.toLowerCase())
const sessionListInput = schemaOf<SessionListInput>()(
  z.strictObject({
    user,
    after: session.optional(),
    limit: z.int().min(1).max(1000).default(100),
  }),
)
const sessionEndInput = schemaOf<SessionEndInput>()(z.strictObject({ user, session, actor }))
const otherSessionsInput = schemaOf<OtherSessionsInput>()(z.strictObject({ user, session: session.nullish(), actor }))

/** Creates the service for sessions. */
export function createSessions({ catalog }: { readonly catalog: SqlPool }): Sessions {
  async function end(who: string, id: string | null, others: boolean, by: string | null | undefined): Promise<number> {
    const found = queryAudited<{ ended: number }>(catalog, 'select end_sessions($1, $2, $3, $4) as ended', [
      ...[who, id, others, by ?? ''],
    ])
    return (await answered(found)).rows[0]?.ended ?? 0
  }

  return {
    async listSessions(input) {
      const { user: who, after, limit } = parse(sessionListInput, input)
      // By the moment of the login and then by id, as two logins may share a moment.
      const { rows } = await answered(
        catalog.query<UserSession>(
          `select session_id(id) as id, created_at as "createdAt", last_used_at as "lastUsedAt", expires_at as "expiresAt",
             user_agent as "userAgent", address, in_cookie as "inCookie", tenant_id as "tenantId"
           from refresh_families
           where user_id = $1 and expires_at > now() and ($2::uuid is null or (created_at, session_id(id)) < (
             select created_at, session_id(id) from refresh_families where user_id = $1 and session_id(id) = $2
           ))
           order by created_at desc, session_id(id) desc limit $3`,
          [who, after ?? null, limit],
        ),
      )
      return rows
    },

    async endSession(input) {
      const { user: who, session: id, actor: by } = parse(sessionEndInput, input)
      if ((await end(who, id, false, by)) > 0) return
      throw new TenancyError('TENANCY_SESSION_NOT_FOUND', `The user ${who} has no session ${id}: it may have ended`)
    },

    async endOtherSessions(input) {
      const { user: who, session: kept, actor: by } = parse(otherSessionsInput, input)
      return end(who, kept ?? null, true, by)
    },
  }
}

const answered = <Answer>(answer: Promise<Answer>) => catalogAnswer(answer, 'sessions')
