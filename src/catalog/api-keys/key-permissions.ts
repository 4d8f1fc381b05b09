import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'

/**
 * Permissions that no API key has: with them a program would decide who has access, and what it gives away would stay when the
 * key is revoked. Those of keys themselves (`keys:…`) are refused as well, whatever comes after the colon.
 */
const refused: readonly string[] = [
  'members:create',
  'members:update',
  'members:delete',
  'roles:manage',
  'domains:create',
  'domains:update',
  'domains:delete',
  'tenant:delete',
  'tenant:export',
]

/** @throws {@link TenancyError} TENANCY_API_KEY_PERMISSION_REFUSED */
export function requireAllowed(permissions: readonly string[]): void {
  const named = permissions.filter((name) => name.startsWith('keys:') || refused.includes(name))
  if (named.length === 0) return
  throw new TenancyError('TENANCY_API_KEY_PERMISSION_REFUSED', `No API key has ${named.join(', ')}: leave these out`, {
    details: { permissions: named },
  })
}

/**
 * Finds permissions by name, and keeps them until the end of the transaction.
 *
 * @returns their ids
 * @throws {@link TenancyError} TENANCY_ACCESS_PERMISSION_NOT_FOUND
 */
export async function findPermissionIds(client: SqlClient, names: readonly string[]): Promise<number[]> {
  const { rows } = await client.query<{ id: number; name: string }>(
    'select id, name from permissions where name = any ($1::text[]) order by id for key share',
    [names],
  )
  const missing = names.find((name) => !rows.some((row) => row.name === name))
  if (missing === undefined) return rows.map(({ id }) => id)
  throw new TenancyError('TENANCY_ACCESS_PERMISSION_NOT_FOUND', `There is no permission ${JSON.stringify(missing)}`)
}
