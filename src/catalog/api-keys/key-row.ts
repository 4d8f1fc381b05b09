import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'

/** What owns API keys of a tenant: a program, not a person. */
export interface ServiceAccount {
  /** A UUIDv7. */
  readonly id: string
  readonly tenantId: string
  readonly name: string
  /** While it is not active, none of its keys counts. */
  readonly isActive: boolean
  /** Id of the user who made it; null: an operator of the installation, or a user who no longer exists. */
  readonly createdBy: string | null
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** An API key, without its secret. */
export interface ApiKey {
  /** A UUIDv7. */
  readonly id: string
  readonly tenantId: string
  readonly serviceAccountId: string
  readonly name: string
  /** The visible beginning of the key's text: `t2f_` and eight characters. */
  readonly prefix: string
  /** Names of the permissions that it was given, sorted. It has those of them that the one who answers for it holds, too. */
  readonly permissions: readonly string[]
  /** Id of the member who answers for it: who made it, or changed its permissions or its secret last. null: the Owners. */
  readonly responsibleId: string | null
  /** Id of the user who made it; null: an operator of the installation, or a user who no longer exists. */
  readonly createdBy: string | null
  /** null: it does not expire. */
  readonly expiresAt: Date | null
  /** Within five minutes; null: it was not used yet. */
  readonly lastUsedAt: Date | null
  /** Until when the secret before the last rotation works; null: there is none. */
  readonly previousEndsAt: Date | null
  readonly revokedAt: Date | null
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** Reads a row of `service_accounts` as a {@link ServiceAccount}. */
export const serviceAccountList = `
  id, tenant_id as "tenantId", name, is_active as "isActive", created_by as "createdBy", created_at as "createdAt",
  updated_at as "updatedAt"`

/** Reads a row of `api_keys` as an {@link ApiKey}. */
export const apiKeyList = `
  id, tenant_id as "tenantId", service_account_id as "serviceAccountId", name, prefix, responsible_id as "responsibleId",
  created_by as "createdBy", expires_at as "expiresAt", last_used_at as "lastUsedAt", revoked_at as "revokedAt",
  case when previous_ends_at > now() then previous_ends_at end as "previousEndsAt", created_at as "createdAt",
  updated_at as "updatedAt",
  array(
    select permission.name from permissions as permission
    where permission.id = any (permission_ids) order by permission.name collate "C"
  ) as permissions`

/** @throws {@link TenancyError} TENANCY_SERVICE_ACCOUNT_NOT_FOUND */
export async function findServiceAccount(client: SqlClient, tenantId: string, id: string): Promise<ServiceAccount> {
  const { rows } = await client.query<ServiceAccount>(
    `select ${serviceAccountList} from service_accounts where tenant_id = $1 and id = $2`,
    [tenantId, id],
  )
  if (rows[0] !== undefined) return rows[0]
  const message = `The tenant ${tenantId} has no service account ${id}`
  throw new TenancyError('TENANCY_SERVICE_ACCOUNT_NOT_FOUND', message)
}

/**
 * Finds a key that is not revoked.
 *
 * @throws {@link TenancyError} TENANCY_API_KEY_NOT_FOUND
 */
export async function findApiKey(client: SqlClient, tenantId: string, id: string): Promise<ApiKey> {
  const { rows } = await client.query<ApiKey>(
    `select ${apiKeyList} from api_keys where tenant_id = $1 and id = $2 and revoked_at is null`,
    [tenantId, id],
  )
  if (rows[0] !== undefined) return rows[0]
  throw new TenancyError('TENANCY_API_KEY_NOT_FOUND', `The tenant ${tenantId} has no API key ${id} that is not revoked`)
}
