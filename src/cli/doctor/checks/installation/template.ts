import { createTenantDatabaseRecords } from '../../../../catalog/tenants/tenant-databases.js'
import { templateComment } from '../../../../databases/ownership.js'
import { type Check, ok, warning } from '../../check.js'

/** The database that new tenants are cloned from is there and whole. */
export const template: Check = {
  name: 'template',
  async run(context) {
    const { client } = await context.server()
    const installationId = await createTenantDatabaseRecords(await context.catalog()).installationId()
    const { rows } = await client.query<{ name: string; isWhole: boolean }>(
      `select datname as name, datistemplate and datconnlimit <> -2 as "isWhole" from pg_database
       where starts_with(datname, $1) and shobj_description(oid, 'pg_database') = $2`,
      [context.names().templatePrefix, templateComment(installationId)],
    )
    const whole = rows.filter(({ isWhole }) => isWhole)
    if (whole.length > 0) return ok(`The template ${whole.map(({ name }) => name).join(', ')} is there`)
    return warning(
      'There is no template for tenant databases',
      'The next start of the application makes it; until then no tenant can be created',
    )
  },
}
