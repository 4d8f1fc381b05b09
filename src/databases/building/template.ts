import { tryLock } from '../../postgres/advisory-lock.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/quote.js'
import { withConnection, withConnectionInside } from '../server/admin-connection.js'
import { isCollationOutdated } from '../server/collations.js'
import type { DatabaseNames } from '../database-names.js'
import { type DatabaseSetting, readDatabaseSettings } from './database-settings.js'
import { templateComment } from '../ownership.js'
import { hardenDatabase } from '../server/hardening.js'
import { templateLockKey } from '../server/lock-keys.js'
import { withHeartbeat } from '../server/lock-heartbeat.js'
import { lockTemplates } from './template-lock.js'
import { applyTenantSchema, createBaseSchema, type TenantSchema } from './tenant-schema.js'

/** Whose templates, on which server. */
export interface TemplateOptions {
  /** The provisioning account; its `database` is the catalog, where locks are held. */
  readonly server: ServerAccount
  readonly secret: Buffer
  readonly names: DatabaseNames
  readonly installationId: string
  /** Default: 2000, see `SqlLedger`. */
  readonly lockTimeoutMs?: number | undefined
  /** Whether functions that use up what the server shares are taken from PUBLIC. Default: false. */
  readonly isHardened?: boolean
}

/** A database that tenant databases are copies of. */
export interface Template {
  readonly name: string
  /** Settings that its copies get. */
  readonly settings: readonly DatabaseSetting[]
  /** Names of settings that they do not get. */
  readonly refusedSettings: readonly string[]
}

/**
 * Makes sure that the template database of this schema exists, and drops the installation's older ones. A template has
 * its name only when it is complete, and nobody can connect to it. Processes that do this at once wait for each other. One
 * whose collation version is not the server's any more cannot be copied: it is made again.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_INVALID; nothing is left behind
 */
export async function ensureTemplate(options: TemplateOptions, schema: TenantSchema): Promise<Template> {
  const { server, names } = options
  const name = names.template(schema.version)
  return withConnection(server, async (admin) => {
    await lockTemplates(admin, templateLockKey(options, names.templatePrefix))
    if (!(await isUsable(admin, name))) {
      await ensureMembersRole(admin, names.members)
      await buildTemplate(admin, options, schema, name)
      await dropOlderTemplates(admin, options, name)
    }
    const { settings, refused } = await readDatabaseSettings(admin, name)
    return { name, settings, refusedSettings: refused }
  })
}

/** False also for one whose drop has begun, by a process of another version that died in the middle. */
async function isUsable(admin: SqlClient, name: string): Promise<boolean> {
  const { rowCount } = await admin.query(
    'select from pg_database where datname = $1 and datistemplate and datconnlimit <> -2',
    [name],
  )
  return rowCount !== 0 && !(await isCollationOutdated(admin, name))
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
  { server, names, installationId, lockTimeoutMs, isHardened = false }: TemplateOptions,
  schema: TenantSchema,
  template: string,
): Promise<void> {
  const unfinished = quoteIdentifier(names.unfinishedTemplate)
  // Left behind by a process that died here; the lock says that nobody works on it now.
  await admin.query(`drop database if exists ${unfinished} with (force)`)
  await dropTemplate(admin, template)
  await admin.query(`create database ${unfinished} template template0`)
  try {
    await admin.query(`revoke all on database ${unfinished} from public`)
    const fill = async (client: SqlClient) => {
      await createBaseSchema(client, names.members)
      await applyTenantSchema(client, schema, { members: names.members, lockTimeoutMs })
      if (isHardened) await hardenDatabase(client, names.members)
    }
    const account = { ...server, database: names.unfinishedTemplate }
    await withHeartbeat(admin, () => withConnectionInside(account, fill))
    // One message is one transaction: the name appears together with what makes the template safe to use.
    await admin.query(
      `comment on database ${unfinished} is ${quoteLiteral(templateComment(installationId))};
       alter database ${unfinished} is_template true allow_connections false;
       alter database ${unfinished} rename to ${quoteIdentifier(template)}`,
    )
  } catch (error) {
    // What cannot be dropped now is the reconciler's.
    await admin.query(`drop database if exists ${unfinished} with (force)`).catch(() => {})
    throw error
  }
}

/** One that cannot be used: its drop had begun, or it cannot be copied any more. */
async function dropTemplate(admin: SqlClient, name: string): Promise<void> {
  const { rows } = await admin.query<{ isTemplate: boolean }>(
    'select datistemplate as "isTemplate" from pg_database where datname = $1',
    [name],
  )
  if (rows[0]?.isTemplate === true) await admin.query(`alter database ${quoteIdentifier(name)} is_template false`)
  await admin.query(`drop database if exists ${quoteIdentifier(name)} with (force)`)
}

async function dropOlderTemplates(
  admin: SqlClient,
  { names, installationId }: TemplateOptions,
  current: string,
): Promise<void> {
  const { rows } = await admin.query<{ name: string }>(
    `select datname as name from pg_database
      where datistemplate and starts_with(datname, $1) and datname <> $2 and shobj_description(oid, 'pg_database') = $3`,
    [names.templatePrefix, current, templateComment(installationId)],
  )
  for (const { name } of rows) {
    await admin.query(`alter database ${quoteIdentifier(name)} is_template false`)
    // One that a process of another version clones from just now stays, no template any more, to the reconciler.
    await admin.query(`drop database ${quoteIdentifier(name)}`).catch(() => {})
  }
}

/**
 * Removes what a process left behind that died while it built or dropped a template.
 *
 * @returns names of the databases that were dropped
 */
export async function removeUnfinishedTemplates(options: TemplateOptions): Promise<string[]> {
  const { server, names, installationId } = options
  return withConnection(server, async (admin) => {
    // Somebody is building one.
    if (!(await tryLock(admin, templateLockKey(options, names.templatePrefix)))) return []
    const dropped = await findUnfinishedTemplates(admin, { names, installationId })
    for (const name of dropped) await admin.query(`drop database if exists ${quoteIdentifier(name)} with (force)`)
    return dropped
  })
}

/**
 * Names of databases that look as a template does before it has its name, or after its drop has begun. One that is
 * being built now looks the same.
 */
export async function findUnfinishedTemplates(
  admin: SqlClient,
  { names, installationId }: Pick<TemplateOptions, 'names' | 'installationId'>,
): Promise<string[]> {
  const { rows } = await admin.query<{ name: string }>(
    `select datname as name from pg_database
      where datname = $1 or (starts_with(datname, $2) and (not datistemplate or datconnlimit = -2)
        and shobj_description(oid, 'pg_database') = $3)`,
    [names.unfinishedTemplate, names.templatePrefix, templateComment(installationId)],
  )
  return rows.map(({ name }) => name)
}
