import { timingSafeEqual } from 'node:crypto'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { secretCheck } from './role-password.js'

/**
 * Binds the catalog to the master secret: stores a check value the first time, and compares it from then on. With another
 * secret no tenant role could log in; the start fails instead.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_SECRET_MISMATCH
 */
export async function bindSecret(catalog: SqlClient, secret: Buffer): Promise<void> {
  const check = secretCheck(secret)
  await catalog.query('update installation set secret_check = $1 where secret_check is null', [check])
  const { rows } = await catalog.query<{ secret_check: string }>('select secret_check from installation')
  const stored = Buffer.from(rows[0]?.secret_check ?? '')
  const given = Buffer.from(check)
  if (stored.length !== given.length || !timingSafeEqual(stored, given)) {
    throw new TenancyError(
      'TENANCY_CONFIG_SECRET_MISMATCH',
      'TENANT_SECRET is not the secret that this catalog was created with: start with that one, or name another catalog',
    )
  }
}
