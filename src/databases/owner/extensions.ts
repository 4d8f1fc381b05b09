import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'

/**
 * Checks that a server has these extensions, and that the account may create them, before anything is built.
 *
 * @param admin a connection of the provisioning account
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID naming every extension that cannot be created
 */
export async function checkExtensions(
  admin: SqlClient,
  extensions: readonly string[],
  { isSuperuser }: { readonly isSuperuser: boolean },
): Promise<void> {
  if (extensions.length === 0) return
  const { rows } = await admin.query<{ name: string; needsSuperuser: boolean }>(
    `select e.name, v.superuser and not v.trusted as "needsSuperuser"
      from pg_available_extensions e join pg_available_extension_versions v
        on v.name = e.name and v.version = e.default_version
     where e.name = any ($1)`,
    [extensions],
  )
  const missing = extensions.filter((wanted) => !rows.some(({ name }) => name === wanted))
  const forbidden = isSuperuser ? [] : rows.filter(({ needsSuperuser }) => needsSuperuser).map(({ name }) => name)
  const problems = [
    ...(missing.length > 0 ? [`the server does not have ${missing.join(', ')}: install it there`] : []),
    ...(forbidden.length > 0 ? [`only a superuser may create ${forbidden.join(', ')}`] : []),
  ]
  if (problems.length === 0) return
  throw new TenancyError('TENANCY_CONFIG_INVALID', `Extensions (TENANT_EXTENSIONS): ${problems.join('; ')}`)
}

/**
 * Creates the extensions that a database lacks, as the provisioning account: in the schema `public`, where a file's `CREATE
 * EXTENSION` puts them, so that queries find them without another search path. An extension that is there is left as it is, wherever
 * it is; one that prescribes its schema gets that one.
 *
 * @param client a connection of the provisioning account inside of the database
 */
export async function createExtensions(client: SqlClient, extensions: readonly string[]): Promise<void> {
  if (extensions.length === 0) return
  // The list of what the server has is read from its disk: only when it is needed.
  const installed = await client.query(
    'select from pg_catalog.pg_extension where extname = any ($1::pg_catalog.text[])',
    [extensions],
  )
  if (installed.rowCount === extensions.length) return
  const { rows } = await client.query<{ name: string; hasSchema: boolean }>(
    `select e.name, v.schema is not null as "hasSchema"
      from pg_catalog.pg_available_extensions e join pg_catalog.pg_available_extension_versions v
        on v.name = e.name and v.version = e.default_version
     where e.name = any ($1::pg_catalog.text[]) and e.installed_version is null`,
    [extensions],
  )
  // In the order of the list: one may need another.
  const missing = rows.toSorted((one, other) => extensions.indexOf(one.name) - extensions.indexOf(other.name))
  for (const { name, hasSchema } of missing) {
    const where = hasSchema ? '' : ' with schema public'
    await client.query(`create extension if not exists ${quoteIdentifier(name)}${where}`)
  }
}
