import { countText } from '../../../../core/text.js'
import { createTenantDatabaseRecords } from '../../../../catalog/tenants/tenant-databases.js'
import { findTenancyError } from '../../../../core/errors/errors.js'
import { readTenantSchema } from '../../../../databases/building/tenant-schema.js'
import { type Check, ok, problem, skipped, warning } from '../../check.js'
import { some } from './leases.js'

/** Every tenant has every schema file. */
export const tenantsBehind: Check = {
  name: 'tenants-behind',
  async run(context) {
    const folder = context.schemaFolder()
    if (folder === undefined) return skipped('TENANT_SCHEMA_DIR is not set: tenants start empty')
    const catalog = await context.catalog()
    const installationId = await createTenantDatabaseRecords(catalog).installationId()
    let version: number
    try {
      version = (await readTenantSchema(folder, installationId)).latest.version
    } catch (error) {
      const invalid = findTenancyError(error)
      if (invalid === undefined) throw error
      return problem(invalid.message, 'Correct the folder of schema files: docs/migrations.md')
    }
    const { rows } = await catalog.query<{ slug: string; behind: boolean; ahead: boolean }>(
      `select slug, coalesce(schema_version, -1) < $1 as behind, schema_version > $1 as ahead
       from tenants join tenant_databases as database on database.id = database_id
       where database.state = 'assigned' and status <> 'deleted' and schema_version is distinct from $1
       order by tenants.id`,
      [version],
    )
    const behind = rows.filter((row) => row.behind).map(({ slug }) => slug)
    const ahead = rows.filter((row) => row.ahead).length
    if (behind.length > 0) {
      return warning(
        `${countText(behind.length, 'tenant is', 'tenants are')} behind schema version ${version}: ${some(behind)}`,
        'Run tenants2fast migrate up',
      )
    }
    if (ahead > 0) {
      return warning(
        `${countText(ahead, 'tenant has', 'tenants have')} a newer schema than this folder (${version})`,
        'Fine during a deployment; otherwise update this copy of the application',
      )
    }
    return ok(version < 0 ? 'There is no schema file yet' : `Every tenant has schema version ${version}`)
  },
}
