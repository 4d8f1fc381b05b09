import { partOf, type RowOf, selectList } from '../../core/columns.js'
import type { UserRecord } from '../../core/identity/identity.js'
import { userColumns } from '../../core/model.js'

/** A row of `users` as {@link userList} reads it. */
export type UserRow = RowOf<typeof userColumns>

/** Reads a row of `users` as a {@link UserRow}. */
export const userList = selectList(userColumns, { table: 'users' })

/** Converts a row: its public columns become the user; the others stay with the catalog and the request path. */
export function toUserRecord(row: UserRow): UserRecord {
  const { tokenEpoch, tokensValidAfter, accessEpoch } = row
  return { user: partOf(userColumns, 'public', row), tokenEpoch, tokensValidAfter, accessEpoch }
}
