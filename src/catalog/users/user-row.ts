import type { UserRecord } from '../../core/identity/identity.js'

/** A row of `users` as {@link userColumns} reads it. */
export interface UserRow {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly image: string | null
  readonly email_verified: boolean
  readonly disabled_at: Date | null
  readonly token_epoch: number
  readonly tokens_valid_after: number
  readonly access_epoch: number
  readonly created_at: Date
  readonly updated_at: Date
}

/** Columns of `users` that make a {@link UserRow}. */
export const userColumns = `users.id, users.email, users.name, users.image, users.email_verified, users.disabled_at,
  users.token_epoch, coalesce(extract(epoch from users.tokens_valid_after), 0)::float8 as tokens_valid_after,
  users.access_epoch::float8 as access_epoch, users.created_at, users.updated_at`

/** The row in the words of the domain. */
export function toUserRecord(row: UserRow): UserRecord {
  return {
    user: {
      id: row.id,
      email: row.email,
      name: row.name,
      image: row.image,
      emailVerified: row.email_verified,
      disabledAt: row.disabled_at,
      createdAt: row.created_at,
      updatedAt: row.updated_at,
    },
    tokenEpoch: row.token_epoch,
    tokensValidAfter: row.tokens_valid_after,
    accessEpoch: row.access_epoch,
  }
}
