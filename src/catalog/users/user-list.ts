import { z } from 'zod'
import type { User } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { isStorable } from '../../core/text.js'
import { parse, schemaOf } from '../input.js'
import { toUserRecord, type UserRow, userList } from './user-row.js'

/** Which users to list. */
export interface ListUsersOptions {
  /** Part of the e-mail address or name, in any case, at most 320 characters. Default: all. */
  readonly search?: string | undefined
  /** `true`: only disabled users; `false`: only others. Default: both. */
  readonly disabled?: boolean | undefined
  /** E-mail address of the last user of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

const text = z.string('must be text').max(320, 'is too long').refine(isStorable, 'cannot be stored')
const listOptions = schemaOf<ListUsersOptions>()(
  z.strictObject({
    search: text.optional(),
    disabled: z.boolean().optional(),
    after: text.optional(),
    limit: z.int().min(1).max(1000).default(100),
  }),
)

/** Lists users by e-mail address. @throws {@link TenancyError} TENANCY_REQUEST_INVALID */
export async function listUsers(catalog: SqlPool, options: ListUsersOptions): Promise<User[]> {
  const { search, disabled, after, limit } = parse(listOptions, options)
  const { rows } = await catalog.query<UserRow>(
    `select ${userList} from users
     where ($1::text is null or strpos(lower(email), lower($1)) > 0 or strpos(lower(name), lower($1)) > 0)
       and ($2::boolean is null or (disabled_at is not null) = $2) and ($3::text is null or lower(email) > lower($3))
     order by lower(email) limit $4`,
    [search ?? null, disabled ?? null, after ?? null, limit],
  )
  return rows.map((row) => toUserRecord(row).user)
}
