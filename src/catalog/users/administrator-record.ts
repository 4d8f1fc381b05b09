import type { UserRecord } from '../../core/identity/identity.js'
import type { SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'
import { toUserRecord, type UserRow, userList } from './user-row.js'

/** A platform administrator with the facts that decide whether a token of theirs still counts. */
export interface AdministratorRecord {
  readonly record: UserRecord
  /** Names the grant of the role: its moment, in microseconds since 1970. */
  readonly grant: number
}

/**
 * Reads a platform administrator, disabled or not. Returns undefined when the user is none.
 * @throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE
 */
export async function readAdministrator(catalog: SqlPool, userId: string): Promise<AdministratorRecord | undefined> {
  if (!isUuid(userId)) return undefined
  const { rows } = await catalogAnswer(
    catalog.query<UserRow & { readonly grant: number }>(
      `select ${userList}, (extract(epoch from granted_at) * 1000000)::float8 as "grant"
       from platform_administrators join users on users.id = user_id where user_id = $1`,
      [userId],
    ),
    'platform administrators',
  )
  const [row] = rows
  return row && { record: toUserRecord(row), grant: row.grant }
}
