import { randomUUID } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import type { AdoptDatabaseInput, AdoptedDatabase } from '../../core/backup/adopt.js'
import type { Tenant } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { commitChange } from '../access/lookup.js'
import { inTransaction } from '../transaction.js'
import { explainRefusedTenant } from './tenant-refusals.js'
import { tenantList } from './tenant-row.js'

/** Makes a tenant of a database, in one transaction with what changes on the server and with the audit entry. */
export async function createTenantOf(
  catalog: SqlPool,
  { slug, name = slug, owner, actor = null }: Pick<AdoptDatabaseInput, 'slug' | 'name' | 'owner' | 'actor'>,
  database: AdoptedDatabase,
): Promise<Tenant> {
  const reservation = randomUUID()
  try {
    return await inTransaction(catalog, async (client) => {
      // Ready for this transaction alone: never building, which the reconciler would drop.
      await client.query(
        `insert into tenant_databases (id, server_id, name, role_name, state, epoch, template_version, reserved_for,
           lease_expires_at, schema_version, schema_fingerprint)
         values ($1, $2, $3, $3, 'ready', $4, $5, $6, now() + interval '1 minute', $7, $8)`,
        [
          ...[database.id, database.serverId, database.name, database.epoch, database.templateVersion, reservation],
          ...[database.schema.version, database.schema.fingerprint],
        ],
      )
      await database.takeOver(client)
      const { rows } = await client.query<Tenant>(
        `select ${tenantList} from create_tenant($1, $2, $3, null, null, $4, $5, $6, $7)`,
        [uuidv7(), slug, name, owner, actor ?? owner, database.templateVersion, reservation],
      )
      const [tenant] = rows
      if (tenant?.databaseId !== database.id) throw new Error('create_tenant took another database')
      await commitChange(client, { actorId: actor, tenantId: tenant.id }, 'tenant.adopt', `tenant:${tenant.id}`, null, {
        ...{ databaseId: database.id, database: database.currentName, schemaVersion: database.schema.version },
      })
      return tenant
    })
  } catch (error) {
    throw explainRefusedTenant(error, { slug, owner })
  }
}
