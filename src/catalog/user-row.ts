import type { UserRecord } from '../core/identity.js'

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

/** Whether `text` is a UUID in the form PostgreSQL prints. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
}

/**
 * An e-mail address in lower case; undefined when it is none. Letters beyond ASCII are left alone: lower-casing
 * some of them (the Kelvin sign) gives an ASCII letter, and so somebody else's address.
 */
export function normalizeEmail(text: string): string | undefined {
  const address = text.trim()
  if (address.length > 320 || !/^[^\s@\p{Cc}\p{Cs}]{1,64}@[^\s@\p{Cc}\p{Cs}]{1,255}$/u.test(address)) return undefined
  return address.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
}
