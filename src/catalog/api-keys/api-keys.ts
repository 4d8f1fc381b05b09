import { v7 as uuidv7 } from 'uuid'
import { TenancyError } from '../../core/errors/errors.js'
import type { ApiKeyFormat } from '../../core/identity/api-keys.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { refuseToGiveMore } from '../access/authority.js'
import { commitChange } from '../access/lookup.js'
import { createChange } from '../change.js'
import { parse } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder } from '../transaction.js'
import {
  apiKeyInput,
  type ApiKeyInput,
  apiKeyListInput,
  type ApiKeyListInput,
  apiKeyRotationInput,
  type ApiKeyRotationInput,
  apiKeyUpdateInput,
  type ApiKeyUpdateInput,
  newApiKeyInput,
  type NewApiKeyInput,
} from './key-input.js'
import { findPermissionIds, requireAllowed } from './key-permissions.js'
import { type ApiKey, apiKeyList, findApiKey, findServiceAccount } from './key-row.js'

/** Most keys of a service account that are not revoked. */
const maxKeys = 100

/** An API key with its text, which is shown this once. */
export interface IssuedApiKey {
  readonly apiKey: ApiKey
  /** 68 characters that begin with `t2f_`: what `Authorization: Bearer` takes. The catalog has only its hash. */
  readonly key: string
}

/**
 * API keys of tenants. A key has the permissions that it was given, as far as the member who answers for it holds them at the moment:
 * whoever made it, or changed its permissions or its secret last. When that member leaves, the Owners answer for it.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface ApiKeys {
  /**
   * Makes a key for a service account. The actor has to hold its permissions, and for as long as the key counts.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_SERVICE_ACCOUNT_NOT_FOUND, TENANCY_ACCESS_PERMISSION_NOT_FOUND,
   *   TENANCY_API_KEY_PERMISSION_REFUSED, TENANCY_ACCESS_GRANT_REFUSED, TENANCY_API_KEY_LIMIT_REACHED (an account has at most 100)
   */
  createApiKey(input: NewApiKeyInput): Promise<IssuedApiKey>
  /** Lists a tenant's keys in the order of creation; those revoked more than 30 days ago may be gone. @throws TENANCY_TENANT_NOT_FOUND */
  listApiKeys(input: ApiKeyListInput): Promise<ApiKey[]>
  /**
   * Changes a key. The actor has to hold the permissions that it has from then on, and answers for it if permissions or expiry are
   * given.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_API_KEY_NOT_FOUND, TENANCY_ACCESS_PERMISSION_NOT_FOUND,
   *   TENANCY_API_KEY_PERMISSION_REFUSED, TENANCY_ACCESS_GRANT_REFUSED
   */
  updateApiKey(input: ApiKeyUpdateInput): Promise<ApiKey>
  /**
   * Gives a key a new secret; the earlier one works for a while longer. The actor has to hold the key's permissions, and answers for
   * it from then on. Of two calls at once, one succeeds, or (without an overlap) the text of one works.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_API_KEY_NOT_FOUND, TENANCY_ACCESS_GRANT_REFUSED, TENANCY_API_KEY_ROTATING (the
   *   secret before still works, and this call has an overlap)
   */
  rotateApiKey(input: ApiKeyRotationInput): Promise<IssuedApiKey>
  /**
   * Ends a key, with both of its secrets, for good.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_API_KEY_NOT_FOUND (also: revoked already), TENANCY_ACCESS_GRANT_REFUSED (the actor is
   *   no active member)
   */
  revokeApiKey(input: ApiKeyInput): Promise<ApiKey>
}

/**
 * Creates the service for API keys.
 *
 * @param changed is told the tenant of each change, by id
 */
export function createApiKeys(
  catalog: SqlPool,
  format: Pick<ApiKeyFormat, 'make'>,
  changed: (tenantId: string | null) => void,
): ApiKeys {
  const change = createChange(catalog, changed)
  return {
    createApiKey: change.ofTenant(newApiKeyInput, async (client, input, scope) => {
      const { serviceAccount, name, expiresAt = null } = input
      const permissions = [...new Set(input.permissions)].toSorted()
      requireAllowed(permissions)
      const [account, permissionIds] = await inOrder([
        findServiceAccount(client, scope.tenantId, serviceAccount),
        findPermissionIds(client, permissions),
        refuseToGiveMore(client, scope, { permissions, until: expiresAt }),
        requireRoom(client, serviceAccount),
      ])
      const { text: key, prefix, hash } = format.make()
      const id = uuidv7()
      const [{ rows }] = await inOrder([
        client.query<ApiKey>(
          `insert into api_keys (id, tenant_id, service_account_id, name, prefix, secret_hash, permission_ids, responsible_id,
             created_by, expires_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9) returning ${apiKeyList}`,
          [id, scope.tenantId, account.id, name, prefix, hash, permissionIds, scope.actorId, expiresAt],
        ),
        removeOld(client, account.id),
        commitChange(client, scope, 'api-key.create', `api-key:${id}`, null, {
          ...{ serviceAccount: account.id, name, prefix, permissions, expiresAt },
        }),
      ])
      return { apiKey: rows[0] as ApiKey, key }
    }),

    async listApiKeys(input) {
      const { tenant, serviceAccount, after, limit } = parse(apiKeyListInput, input)
      const { id } = await findTenant(catalog, tenant)
      const { rows } = await catalog.query<ApiKey>(
        `select ${apiKeyList} from api_keys
         where tenant_id = $1 and ($2::uuid is null or service_account_id = $2) and ($3::uuid is null or id > $3)
         order by id limit $4`,
        [id, serviceAccount ?? null, after ?? null, limit],
      )
      return rows
    },

    updateApiKey: change.ofTenant(apiKeyUpdateInput, async (client, input, scope) => {
      const wanted = input.permissions && [...new Set(input.permissions)].toSorted()
      requireAllowed(wanted ?? [])
      const [before, wantedIds] = await inOrder([
        findApiKey(client, scope.tenantId, input.apiKey),
        findPermissionIds(client, wanted ?? []),
      ])
      const permissions = wanted ?? before.permissions
      const { name = before.name, expiresAt = before.expiresAt } = input
      await refuseToGiveMore(client, scope, { permissions, until: expiresAt })
      const isOwn = wanted !== undefined || input.expiresAt !== undefined
      const earlier = { name: before.name, permissions: before.permissions, expiresAt: before.expiresAt }
      const [{ rows }] = await inOrder([
        client.query<ApiKey>(
          `update api_keys set name = $2, permission_ids = case when $3 then $4::integer[] else permission_ids end,
             expires_at = $5, responsible_id = case when $6 then $7::uuid else responsible_id end
           where id = $1 returning ${apiKeyList}`,
          [before.id, name, wanted !== undefined, wantedIds, expiresAt, isOwn, scope.actorId],
        ),
        commitChange(client, scope, 'api-key.update', `api-key:${before.id}`, earlier, {
          ...{ name, permissions, expiresAt },
        }),
      ])
      return rows[0] as ApiKey
    }),

    rotateApiKey: change.ofTenant(apiKeyRotationInput, async (client, { apiKey: id, overlapSeconds }, scope) => {
      const before = await findApiKey(client, scope.tenantId, id)
      if (before.previousEndsAt !== null && overlapSeconds > 0) {
        throw new TenancyError(
          'TENANCY_API_KEY_ROTATING',
          `The secret of the API key ${id} before the last rotation works until ${before.previousEndsAt.toISOString()}`,
        )
      }
      await refuseToGiveMore(client, scope, { permissions: before.permissions, until: before.expiresAt })
      const { text: key, prefix, hash } = format.make()
      const [{ rows }] = await inOrder([
        client.query<ApiKey>(
          `update api_keys set prefix = $2, secret_hash = $3, responsible_id = $4,
             previous_hash = case when $5::integer > 0 then secret_hash end,
             previous_ends_at = case when $5::integer > 0 then now() + make_interval(secs => $5::integer) end
           where id = $1 returning ${apiKeyList}`,
          [id, prefix, hash, scope.actorId, overlapSeconds],
        ),
        commitChange(...([client, scope, 'api-key.rotate', `api-key:${id}`, { prefix: before.prefix }] as const), {
          prefix,
          overlapSeconds,
        }),
      ])
      return { apiKey: rows[0] as ApiKey, key }
    }),

    revokeApiKey: change.ofTenant(apiKeyInput, async (client, { apiKey: id }, scope) => {
      const [{ name, prefix }] = await inOrder([
        findApiKey(client, scope.tenantId, id),
        refuseToGiveMore(client, scope, {}),
      ])
      const [{ rows }] = await inOrder([
        client.query<ApiKey>(
          `update api_keys set revoked_at = now(), previous_hash = null, previous_ends_at = null where id = $1
           returning ${apiKeyList}`,
          [id],
        ),
        commitChange(client, scope, 'api-key.revoke', `api-key:${id}`, { name, prefix }, null),
      ])
      return rows[0] as ApiKey
    }),
  }
}

/** @throws {@link TenancyError} TENANCY_API_KEY_LIMIT_REACHED */
async function requireRoom(client: SqlClient, accountId: string): Promise<void> {
  const { rows } = await client.query<{ count: number }>(
    'select count(*)::integer as count from api_keys where service_account_id = $1 and revoked_at is null',
    [accountId],
  )
  if ((rows[0]?.count ?? 0) < maxKeys) return
  const message = `The service account ${accountId} has ${maxKeys} keys, which is the most`
  throw new TenancyError('TENANCY_API_KEY_LIMIT_REACHED', message)
}

/** Removes more rows than one call adds, so that revoked keys do not pile up. */
async function removeOld(client: SqlClient, accountId: string): Promise<void> {
  await client.query(
    `delete from api_keys where id in (
       select id from api_keys where service_account_id = $1 and revoked_at < now() - interval '30 days' order by id limit 8)`,
    [accountId],
  )
}
