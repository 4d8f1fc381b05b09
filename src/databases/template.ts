import type { ServerAccount } from '../core/database-target.js'
import { quoteIdentifier, quoteLiteral, type SqlClient } from '../core/sql.js'
import { withConnection } from './admin-connection.js'
import type { DatabaseNames } from './database-names.js'
import { applyTenantSchema, layGround, type TenantSchema } from './tenant-schema.js'

/** Whose templates, on which server. */
export interface TemplateOptions {
  readonly server: ServerAccount
  readonly names: DatabaseNames
  readonly installationId: string
}

/**
 * Makes sure that the template database of this schema exists, and drops the installation's older ones. A template has
 * its name only when it is complete, and nobody can connect to it. Processes that do this at once wait for each other.
 *
 * @returns the template's name
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_INVALID; nothing is left behind
 */
export async function ensureTemplate(options: TemplateOptions, schema: TenantSchema): Promise<string> {
  const { server, names } = options
  const template = names.template(schema.version)
  await withConnection(server, async (admin) => {
    await admin.query('select pg_advisory_lock(7205004, hashtext($1))', [names.templatePrefix])
    if (await exists(admin, template)) return
    await ensureMembersRole(admin, names.members)
    await buildTemplate(admin, options, schema, template)
    await dropOlderTemplates(admin, options, template)
  })
  return template
}

async function exists(admin: SqlClient, name: string): Promise<boolean> {
  const { rowCount } = await admin.query('select from pg_database where datname = $1', [name])
  return rowCount !== 0
}

async function ensureMembersRole(admin: SqlClient, name: string): Promise<void> {
  const { rows } = await admin.query<{ isPlain: boolean }>(
    `select not (rolcanlogin or rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls) as "isPlain"
       from pg_roles where rolname = $1`,
    [name],
  )
  const [role] = rows
  if (!role) await admin.query(`create role ${quoteIdentifier(name)} nologin`)
  // Every tenant's role would inherit from it.
  else if (!role.isPlain) throw new Error(`the role ${name} exists and can do more than a group role`)
}

async function buildTemplate(
  admin: SqlClient,
  { server, names, installationId }: TemplateOptions,
  schema: TenantSchema,
  template: string,
): Promise<void> {
  const unfinished = quoteIdentifier(names.unfinishedTemplate)
  // Left behind by a process that died here; the lock says that nobody works on it now.
  await admin.query(`drop database if exists ${unfinished} with (force)`)
  await admin.query(`create database ${unfinished} template template0`)
  try {
    await admin.query(`revoke all on database ${unfinished} from public`)
    await withConnection({ ...server, database: names.unfinishedTemplate }, async (client) => {
      await layGround(client, names.members)
      await applyTenantSchema(client, schema)
    })
    // One message is one transaction: the name appears together with what makes the template safe to use.
    await admin.query(
      `comment on database ${unfinished} is ${quoteLiteral(commentOf(installationId))};
       alter database ${unfinished} is_template true allow_connections false;
       alter database ${unfinished} rename to ${quoteIdentifier(template)}`,
    )
  } catch (error) {
    await admin.query(`drop database if exists ${unfinished} with (force)`)
    throw error
  }
}

async function dropOlderTemplates(
  admin: SqlClient,
  { names, installationId }: TemplateOptions,
  current: string,
): Promise<void> {
  const { rows } = await admin.query<{ name: string }>(
    `select datname as name from pg_database
      where datistemplate and starts_with(datname, $1) and datname <> $2 and shobj_description(oid, 'pg_database') = $3`,
    [names.templatePrefix, current, commentOf(installationId)],
  )
  for (const { name } of rows) await dropTemplate(admin, name)
}

async function dropTemplate(admin: SqlClient, name: string): Promise<void> {
  await admin.query(`alter database ${quoteIdentifier(name)} is_template false`)
  await admin.query(`drop database ${quoteIdentifier(name)}`)
}

// Two installations may share a server and a prefix; the comment says whose template it is.
function commentOf(installationId: string): string {
  return `tenants2fast template of installation ${installationId}`
}
