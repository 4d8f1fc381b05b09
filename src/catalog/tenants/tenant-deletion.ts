import { TenancyError } from '../../core/errors/errors.js'
import type { Tenant } from '../../core/model.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import type { DatabaseSupply } from '../../core/tenants/tenant-databases.js'
import { commitChange } from '../access/lookup.js'
import { parse } from '../input.js'
import { type TenantChangeInput, tenantChangeInput } from './tenant-input.js'
import { parseTenantRef } from '../../core/tenants/slug.js'
import { findTenant, isNamed, tenantList } from './tenant-row.js'
import { inOrder, inTransaction } from '../transaction.js'

/** Deletes, restores and erases tenants. Every change is one transaction with its audit entry. */
export interface TenantDeletion {
  /**
   * Marks the tenant deleted and retires its database. It can be restored until its retention is over
   * (`TENANT_RETENTION_DAYS`). Then the database is dropped, and the tenant's row is removed with its memberships and roles.
   * The slug stays taken until the drop is verified. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT
   */
  deleteTenant(input: TenantChangeInput): Promise<Tenant>
  /**
   * Restores a deleted tenant and its database within its retention. The tenant becomes active, or suspended if it was
   * suspended before. The schema files that it missed are applied first; if one fails, the tenant stays deleted.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (not deleted, or its retention is over)
   * @throws TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_BLOCKED, TENANCY_DATABASE_SCHEMA_INVALID,
   *   TENANCY_DATABASE_UNAVAILABLE
   */
  undeleteTenant(input: TenantChangeInput): Promise<Tenant>
  /**
   * Erases a deleted tenant now, before the end of its retention: drops its database and removes its row, its memberships
   * and its roles. This cannot be undone.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_STATE_CONFLICT (not deleted)
   * @throws TENANCY_DATABASE_UNAVAILABLE: the purge is recorded, and the drop follows as soon as the server can do it
   */
  purgeTenant(input: TenantChangeInput): Promise<void>
}

/** Dependencies of {@link createTenantDeletion}. */
export interface TenantDeletionOptions {
  readonly catalog: SqlPool
  readonly databases: Pick<DatabaseSupply, 'dropTenantDatabase' | 'bringUpToDate'>
  readonly retentionDays: number
}

/** Creates the service that deletes, restores and erases tenants of the catalog. */
export function createTenantDeletion({ catalog, databases, retentionDays }: TenantDeletionOptions): TenantDeletion {
  return {
    async deleteTenant(input) {
      const { tenant, actor } = parse(tenantChangeInput, input)
      return inTransaction(catalog, async (client) => {
        const before = await findTenant(client, tenant, { lock: true })
        if (before.status === 'deleted') throw conflict(before, 'is deleted already')
        const scope = { actorId: actor, tenantId: before.id }
        const after = { status: 'deleted', retentionDays }
        const [{ rows }] = await inOrder([
          client.query<Tenant>(
            `update tenants set status = 'deleted', deleted_at = now() where id = $1 returning ${tenantList}`,
            [before.id],
          ),
          client.query(
            `update tenant_databases set state = 'retired', retired_at = now(),
               drop_after = now() + make_interval(hours => 24 * $2::integer)
             where id = $1 and state = 'assigned'`,
            [before.databaseId, retentionDays],
          ),
          commitChange(client, scope, 'tenant.delete', `tenant:${before.id}`, { status: before.status }, after),
        ])
        return rows[0] as Tenant
      })
    },

    async undeleteTenant(input) {
      const { tenant, actor } = parse(tenantChangeInput, input)
      // Outside the transaction, because files may take long. Whether the tenant can be restored is checked again afterwards.
      const deleted = await findRecoverable(catalog, tenant)
      if (deleted.databaseId !== null) await databases.bringUpToDate(deleted)
      return inTransaction(catalog, async (client) => {
        const [before, { rowCount }] = await inOrder([
          findDeleted(client, deleted.id),
          client.query(
            `update tenant_databases set state = 'assigned', retired_at = null, drop_after = null
             where id = (select database_id from tenants where id = $1) and ${isRecoverable}`,
            [deleted.id],
          ),
        ])
        if (rowCount === 0) throw conflict(before, retentionOver)
        const status = before.suspendedAt === null ? 'active' : 'suspended'
        const scope = { actorId: actor, tenantId: before.id }
        const [{ rows }] = await inOrder([
          client.query<Tenant>(
            `update tenants set status = $2, deleted_at = null where id = $1 returning ${tenantList}`,
            [before.id, status],
          ),
          commitChange(client, scope, 'tenant.undelete', `tenant:${before.id}`, { status: 'deleted' }, { status }),
        ])
        return rows[0] as Tenant
      })
    },

    async purgeTenant(input) {
      const { tenant, actor } = parse(tenantChangeInput, input)
      const { databaseId } = await inTransaction(catalog, async (client) => {
        const before = await findDeleted(client, tenant)
        const scope = { actorId: actor, tenantId: before.id }
        const { slug, deletedAt } = before
        await inOrder([
          before.databaseId === null
            ? client.query('delete from tenants where id = $1', [before.id])
            : // The lease has no holder: the first to take it drops the database, this process or the reconciler.
              client.query(
                `update tenant_databases set state = 'dropping', drop_after = now(), lease_owner = null, lease_expires_at = null
                 where id = $1 and state = 'retired'`,
                [before.databaseId],
              ),
          commitChange(client, scope, 'tenant.purge', `tenant:${before.id}`, { slug, deletedAt }, null),
        ])
        return before
      })
      if (databaseId !== null) await databases.dropTenantDatabase(databaseId)
    },
  }
}

const retentionOver = 'cannot be brought back: its retention is over'

/** SQL condition: the database of a deleted tenant that can be restored. */
const isRecoverable = "state = 'retired' and drop_after > now()"

async function findRecoverable(catalog: SqlPool, idOrSlug: string): Promise<Tenant> {
  return inTransaction(catalog, async (client) => {
    const ref = parseTenantRef(idOrSlug)
    const [tenant, databases] = await inOrder([
      findDeleted(client, idOrSlug, { lock: false }),
      ref &&
        client.query(
          `select from tenant_databases
           where id = (select database_id from tenants where ${isNamed(ref.kind, '$1')}) and ${isRecoverable}`,
          [ref.value],
        ),
      client.commit(),
    ])
    if (databases?.rowCount !== 1) throw conflict(tenant, retentionOver)
    return tenant
  })
}

async function findDeleted(client: SqlClient, idOrSlug: string, { lock = true } = {}): Promise<Tenant> {
  const tenant = await findTenant(client, idOrSlug, { lock })
  if (tenant.status !== 'deleted') throw conflict(tenant, `is ${tenant.status}: delete it first`)
  return tenant
}

function conflict(tenant: Tenant, problem: string): TenancyError {
  return new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${tenant.slug}" ${problem}`)
}
