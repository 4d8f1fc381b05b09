import { partOf, type RowOf, selectList } from '../../core/columns.js'
import type { UserRecord } from '../../core/identity/identity.js'
import { userColumns } from '../../core/model.js'

/** A row of `users` as {@link userList} reads it. */
export type UserRow = RowOf<typeof userColumns>

/** Reads a row of `users` as a {@link UserRow}. */
export const userList = selectList(userColumns, { table: 'users' })

/** A row in the words of the domain: what is public is the user, the rest stays with the catalog and the request path. */
export function toUserRecord(row: UserRow): UserRecord {
  const { tokenEpoch, tokensValidAfter, accessEpoch } = row
  return { user: partOf(userColumns, 'public', row), tokenEpoch, tokensValidAfter, accessEpoch }
}
