import { v7 as uuidv7 } from 'uuid'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { refuseToGiveMore } from '../access/authority.js'
import { commitChange, explainTaken } from '../access/lookup.js'
import { createChange } from '../change.js'
import { parse } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder } from '../transaction.js'
import {
  newServiceAccountInput,
  type NewServiceAccountInput,
  serviceAccountInput,
  type ServiceAccountInput,
  serviceAccountListInput,
  type ServiceAccountListInput,
  serviceAccountUpdateInput,
  type ServiceAccountUpdateInput,
} from './key-input.js'
import { findServiceAccount, type ServiceAccount, serviceAccountList } from './key-row.js'

/** Most service accounts of a tenant. */
const maxAccounts = 100

/**
 * Service accounts of tenants. Every change is one transaction with its audit entry.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface ServiceAccounts {
  /**
   * Makes a service account, which has no key yet.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_SERVICE_ACCOUNT_EXISTS, TENANCY_API_KEY_LIMIT_REACHED (a tenant has at most 100),
   *   TENANCY_ACCESS_GRANT_REFUSED (the actor is no active member)
   */
  createServiceAccount(input: NewServiceAccountInput): Promise<ServiceAccount>
  /** Lists a tenant's service accounts in the order of creation. @throws TENANCY_TENANT_NOT_FOUND */
  listServiceAccounts(input: ServiceAccountListInput): Promise<ServiceAccount[]>
  /**
   * Changes a service account. To activate one, the actor has to hold what its keys were given. What is the same already is no change.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_SERVICE_ACCOUNT_NOT_FOUND, TENANCY_SERVICE_ACCOUNT_EXISTS,
   *   TENANCY_ACCESS_GRANT_REFUSED
   */
  updateServiceAccount(input: ServiceAccountUpdateInput): Promise<ServiceAccount>
  /**
   * Deletes a service account with its keys, which end at once.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_SERVICE_ACCOUNT_NOT_FOUND, TENANCY_ACCESS_GRANT_REFUSED (the actor is no active member)
   */
  deleteServiceAccount(input: ServiceAccountInput): Promise<void>
}

/**
 * Creates the service for service accounts.
 *
 * @param changed is told the tenant of each change, by id
 */
export function createServiceAccounts(catalog: SqlPool, changed: (tenantId: string | null) => void): ServiceAccounts {
  const change = createChange(catalog, changed)
  const taken = 'TENANCY_SERVICE_ACCOUNT_EXISTS'
  return {
    createServiceAccount: change.ofTenant(newServiceAccountInput, async (client, { name }, scope) => {
      await inOrder([refuseToGiveMore(client, scope, {}), requireRoom(client, scope.tenantId)])
      const id = uuidv7()
      const made = client.query<ServiceAccount>(
        `insert into service_accounts (id, tenant_id, name, created_by) values ($1, $2, $3, $4)
         returning ${serviceAccountList}`,
        [id, scope.tenantId, name, scope.actorId],
      )
      await inOrder([
        explainTaken(made, taken, 'service account named', name),
        commitChange(client, scope, 'service-account.create', `service-account:${id}`, null, { name }),
      ])
      return (await made).rows[0] as ServiceAccount
    }),

    async listServiceAccounts(input) {
      const { tenant, after, limit } = parse(serviceAccountListInput, input)
      const { id } = await findTenant(catalog, tenant)
      const { rows } = await catalog.query<ServiceAccount>(
        `select ${serviceAccountList} from service_accounts
         where tenant_id = $1 and ($2::uuid is null or id > $2) order by id limit $3`,
        [id, after ?? null, limit],
      )
      return rows
    },

    updateServiceAccount: change.ofTenant(serviceAccountUpdateInput, async (client, input, scope) => {
      const { serviceAccount, name, isActive } = input
      const [before, permissions] = await inOrder([
        findServiceAccount(client, scope.tenantId, serviceAccount),
        readPermissions(client, serviceAccount),
      ])
      await refuseToGiveMore(client, scope, { permissions: isActive === true ? permissions : [] })
      const given = Object.entries({ name, isActive }).filter(
        ([key, value]) => value !== undefined && value !== before[key as 'name'],
      )
      if (given.length === 0) return before
      const later = Object.fromEntries(given)
      const earlier = Object.fromEntries(given.map(([key]) => [key, before[key as 'name']]))
      const written = client.query<ServiceAccount>(
        `update service_accounts set name = $2, is_active = $3 where id = $1 returning ${serviceAccountList}`,
        [before.id, name ?? before.name, isActive ?? before.isActive],
      )
      await inOrder([
        explainTaken(written, taken, 'service account named', name ?? ''),
        commitChange(client, scope, 'service-account.update', `service-account:${before.id}`, earlier, later),
      ])
      return (await written).rows[0] as ServiceAccount
    }),

    deleteServiceAccount: change.ofTenant(serviceAccountInput, async (client, { serviceAccount }, scope) => {
      const [{ id, name }] = await inOrder([
        findServiceAccount(client, scope.tenantId, serviceAccount),
        refuseToGiveMore(client, scope, {}),
      ])
      await inOrder([
        client.query('delete from service_accounts where id = $1', [id]),
        commitChange(client, scope, 'service-account.delete', `service-account:${id}`, { name }, null),
      ])
    }),
  }
}

/** @throws {@link TenancyError} TENANCY_API_KEY_LIMIT_REACHED */
async function requireRoom(client: SqlClient, tenantId: string): Promise<void> {
  const { rows } = await client.query<{ count: number }>(
    'select count(*)::integer as count from service_accounts where tenant_id = $1',
    [tenantId],
  )
  if ((rows[0]?.count ?? 0) < maxAccounts) return
  const message = `The tenant ${tenantId} has ${maxAccounts} service accounts, which is the most`
  throw new TenancyError('TENANCY_API_KEY_LIMIT_REACHED', message)
}

/** Reads the names of the permissions that the account's keys were given, as far as the keys are not revoked. */
async function readPermissions(client: SqlClient, accountId: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select name from permissions where id in (
       select unnest(permission_ids) from api_keys where service_account_id = $1 and revoked_at is null) order by name`,
    [accountId],
  )
  return rows.map(({ name }) => name)
}
