import { randomUUID } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import type { Adoption, BackupCatalog, Swap } from '../../core/backup/ports.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Tenant } from '../../core/model.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import type { TenantDatabaseRecords, VersionedDatabase } from '../../core/tenants/tenant-databases.js'
import { commitChange } from '../access/lookup.js'
import { inTransaction } from '../transaction.js'
import { databaseColumns } from './tenant-databases.js'
import { explainRefusedTenant, ownerUnknown, slugTaken } from './tenant-refusals.js'
import { findTenant, tenantList } from './tenant-row.js'
import { slugIsTaken } from './tenant-search.js'

const conflict = ({ slug }: Pick<Tenant, 'slug'>, problem: string) =>
  new TenancyError('TENANCY_TENANT_STATE_CONFLICT', `The tenant "${slug}" ${problem}`)

/** Retires the database that a tenant had until now. It keeps its tenant's id, so that the tenant can have it back. */
const retire = `update tenant_databases set state = 'retired', retired_at = now(), former_tenant_id = $2,
    drop_after = now() + make_interval(hours => 24 * $3::integer)
  where id = $1 and state = 'assigned' returning name, drop_after as "keptUntil"`

interface Retired {
  readonly name: string
  readonly keptUntil: Date
}

/** Creates the catalog's part of backups and restores. Every change is one transaction with its audit entry. */
export function createTenantBackups(catalog: SqlPool, records: Pick<TenantDatabaseRecords, 'find'>): BackupCatalog {
  return {
    async databaseOf(idOrSlug, { allowDeleted } = { allowDeleted: false }) {
      const tenant = await findTenant(catalog, idOrSlug)
      const database = tenant.databaseId === null ? undefined : await records.find(tenant.databaseId)
      const isDeleted = tenant.status === 'deleted'
      // The database of a deleted tenant is as it was, until its retention is over.
      const isThere = isDeleted ? allowDeleted && database?.state === 'retired' : database?.state === 'assigned'
      if (!isThere || database === undefined) throw conflict(tenant, 'has no database in use')
      return { tenant, database }
    },

    async checkNewTenant({ slug, owner }) {
      const { rows } = await catalog.query<{ taken: boolean; found: boolean }>(
        `select ${slugIsTaken('$1')} as taken,
           exists (select from users where id = $2 and disabled_at is null) as found`,
        [slug, owner],
      )
      if (rows[0]?.taken === true) throw slugTaken(slug)
      if (rows[0]?.found !== true) throw ownerUnknown(owner)
    },

    recordBackup: (tenant, actor, archive) =>
      inTransaction(catalog, (client) =>
        commitChange(
          client,
          { actorId: actor, tenantId: tenant.id },
          'tenant.backup',
          `tenant:${tenant.id}`,
          null,
          archive,
        ),
      ),

    swap: ({ tenant, next, keepDays, actor, archive, cutOff }: Swap) =>
      inTransaction(catalog, async (client) => {
        const before = await findTenant(client, tenant.id, { lock: true })
        if (before.status === 'deleted') throw conflict(before, 'was deleted meanwhile')
        if (before.databaseId === null || before.databaseId !== tenant.databaseId) {
          throw conflict(before, 'got another database meanwhile: restore again')
        }
        const { rows } = await client.query<Retired>(retire, [before.databaseId, before.id, keepDays])
        const [old] = rows
        if (old === undefined) throw conflict(before, 'has no database in use')
        await cutOff(client, old.name)
        await assign(client, next)
        return {
          keptUntil: old.keptUntil,
          tenant: await point(client, before, next.id, 'tenant.restore', actor, {
            ...{ replacedDatabaseId: before.databaseId, keptUntil: old.keptUntil },
            ...archive,
          }),
        }
      }),

    createFrom: async ({ slug, name, owner, actor, next, templateVersion, archive }: Adoption) => {
      const reservation = randomUUID()
      try {
        return await inTransaction(catalog, async (client) => {
          // Ready for this transaction alone: nobody else ever sees a ready database that has data.
          const { rowCount } = await client.query(
            `update tenant_databases set state = 'ready', reserved_for = $3, template_version = $4, lease_owner = null,
               lease_expires_at = now() + interval '1 minute', schema_version = $5, schema_fingerprint = $6
             where id = $1 and state = 'building' and lease_owner = $2`,
            [next.id, next.lease, reservation, templateVersion, next.schema.version, next.schema.fingerprint],
          )
          if (rowCount !== 1) throw leaseLost()
          const { rows } = await client.query<Tenant>(
            `select ${tenantList} from create_tenant($1, $2, $3, null, null, $4, $5, $6, $7)`,
            [uuidv7(), slug, name, owner, actor ?? owner, templateVersion, reservation],
          )
          const [tenant] = rows
          if (tenant?.databaseId !== next.id) throw new Error('create_tenant took another database')
          const scope = { actorId: actor, tenantId: tenant.id }
          await commitChange(client, scope, 'tenant.restore', `tenant:${tenant.id}`, null, {
            ...{ databaseId: next.id },
            ...archive,
          })
          return tenant
        })
      } catch (error) {
        throw explainRefusedTenant(error, { slug, owner })
      }
    },

    swapBack: ({ tenant: idOrSlug, keepDays, actor, cutOff, letIn }) =>
      inTransaction(catalog, async (client) => {
        const before = await findTenant(client, idOrSlug, { lock: true })
        if (before.status === 'deleted' || before.databaseId === null) throw conflict(before, 'has no database in use')
        const { rows: kept } = await client.query<VersionedDatabase>(
          `select ${databaseColumns} from tenant_databases
           where former_tenant_id = $1 and state = 'retired' and drop_after > now()
           order by retired_at desc, id desc limit 1 for update`,
          [before.id],
        )
        const [former] = kept
        if (former === undefined) throw conflict(before, 'has no replaced database that is still kept')
        const { rows } = await client.query<Retired>(retire, [before.databaseId, before.id, keepDays])
        const [old] = rows
        if (old === undefined) throw conflict(before, 'has no database in use')
        await cutOff(client, old.name)
        await letIn(client, former.name)
        await client.query(
          `update tenant_databases set state = 'assigned', retired_at = null, drop_after = null, former_tenant_id = null
           where id = $1`,
          [former.id],
        )
        const tenant = await point(client, before, former.id, 'tenant.swapBack', actor, {
          replacedDatabaseId: before.databaseId,
          keptUntil: old.keptUntil,
        })
        return { tenant, replacedDatabaseId: before.databaseId }
      }),
  }
}

async function assign(client: SqlClient, { id, lease, schema }: Swap['next']): Promise<void> {
  const { rowCount } = await client.query(
    `update tenant_databases set state = 'assigned', lease_owner = null, lease_expires_at = null, schema_version = $3,
       schema_fingerprint = $4
     where id = $1 and state = 'building' and lease_owner = $2`,
    [id, lease, schema.version, schema.fingerprint],
  )
  if (rowCount !== 1) throw leaseLost()
}

async function point(
  client: Parameters<typeof commitChange>[0],
  before: Tenant,
  databaseId: string,
  action: string,
  actor: string | null,
  details: object,
): Promise<Tenant> {
  const { rows } = await client.query<Tenant>(
    `update tenants set database_id = $2 where id = $1 returning ${tenantList}`,
    [before.id, databaseId],
  )
  const scope = { actorId: actor, tenantId: before.id }
  const after = { databaseId, ...details }
  await commitChange(client, scope, action, `tenant:${before.id}`, { databaseId: before.databaseId }, after)
  return rows[0] as Tenant
}

const leaseLost = () =>
  new TenancyError(
    'TENANCY_RESTORE_FAILED',
    'The new database was taken away meanwhile: this process stood still for long',
  )
