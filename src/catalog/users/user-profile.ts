import { z } from 'zod'
import { auditActor } from '../../core/audit-actor.js'
import { longestImage, normalizeImage } from '../../core/identity/image.js'
import type { UserRecord } from '../../core/identity/identity.js'
import type { SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { actor, parse, schemaOf, shownLine, userRef } from '../input.js'
import { type UserChangeInput, userNotFound } from './user-change.js'
import { toUserRecord, type UserRow, userList } from './user-row.js'

/** Facts of a user to change. What is not given stays. */
export interface UserUpdateInput extends UserChangeInput {
  /** One line of at most 200 characters. */
  readonly name?: string | undefined
  /** An http(s) address of at most 2048 characters; null: none. */
  readonly image?: string | null | undefined
}

/** A user's name. */
export const userName = shownLine(0, 200)

const image = z.string('must be text').transform((text, context) => {
  const address = normalizeImage(text)
  if (address !== undefined) return address
  context.addIssue({ code: 'custom', message: `must be an http(s) address of at most ${longestImage} characters` })
  return z.NEVER
})

const updateInput = schemaOf<UserUpdateInput>()(
  z.strictObject({ user: userRef, name: userName.optional(), image: image.nullish(), actor }),
)

/**
 * Changes facts of a user. What is the same already is no change.
 *
 * @throws {@link TenancyError} TENANCY_USER_NOT_FOUND, TENANCY_REQUEST_INVALID
 */
export async function updateUser(catalog: SqlPool, input: UserUpdateInput): Promise<UserRecord> {
  const { user, name, image: picture, actor: by } = parse(updateInput, input)
  if (!isUuid(user)) throw userNotFound(user)
  const { rows } = await queryAudited<UserRow>(
    catalog,
    `with wanted as (
       select id, coalesce($3, name) as name, case when $4 then $5 else image end as image from users where id = $1
     ), changed as (
       update users set name = wanted.name, image = wanted.image
       from wanted, (${auditActor('$2')}) as acting
       where users.id = wanted.id and (users.name, users.image) is distinct from (wanted.name, wanted.image)
       returning users.*
     )
     select ${userList} from (
       select * from changed union all select * from users where id = $1 and not exists (select from changed)
     ) as users`,
    [user, by ?? '', name ?? null, picture !== undefined, picture ?? null],
  )
  if (rows[0] === undefined) throw userNotFound(user)
  return toUserRecord(rows[0])
}
