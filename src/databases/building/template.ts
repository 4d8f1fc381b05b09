import { randomBytes } from 'node:crypto'
import { tryLock } from '../../postgres/advisory-lock.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import type { SqlClient } from '../../core/sql-client.js'
import { quoteIdentifier, quoteLiteral } from '../../postgres/text/quote.js'
import { withConnection, withConnectionInside } from '../server/admin-connection.js'
import { type AdminRights, joinGroup } from '../server/admin-rights.js'
import { isCollationOutdated } from '../server/collations.js'
import type { DatabaseNames } from '../database-names.js'
import { type DatabaseSetting, readDatabaseSettings } from './database-settings.js'
import { templateComment } from '../ownership.js'
import { hardenDatabase } from '../server/hardening.js'
import { templateLockKey } from '../server/lock-keys.js'
import { withHeartbeat } from '../server/lock-heartbeat.js'
import { createExtensions } from '../owner/extensions.js'
import { dropOwnerLoginSql, ensureOwnerLogin, revokeOwnerLogin } from '../owner/owner-login.js'
import { lockTemplates } from './template-lock.js'
import { closedDatabase } from './tenant-privileges.js'
import { applyTenantSchema, createBaseSchema, type TenantSchema } from './tenant-schema.js'

/** Identifies the templates of one installation on one server. */
export interface TemplateOptions {
  /** The provisioning account; its `database` is the catalog, where locks are held. */
  readonly server: ServerAccount
  readonly secret: Buffer
  readonly names: DatabaseNames
  readonly installationId: string
  /** Default: 2000, see `SqlLedger`. */
  readonly lockTimeoutMs?: number | undefined
  /** Whether functions that use up what the server shares are revoked from PUBLIC. Default: false. */
  readonly isHardened?: boolean
  /** Rights of the provisioning account. */
  readonly rights: AdminRights
  /** Extensions that every tenant database has. */
  readonly extensions: readonly string[]
}

/** A database that tenant databases are copied from. */
export interface Template {
  readonly name: string
  /** Settings that the copies get. */
  readonly settings: readonly DatabaseSetting[]
  /** Names of settings that the copies do not get. */
  readonly refusedSettings: readonly string[]
}

/**
 * Makes sure that the template database of this schema exists, and drops the installation's older templates. A template
 * gets its name when it is complete, and accepts no connections. Processes that call this at once wait for each other. A
 * template whose collation version is no longer the server's cannot be copied: it is made again.
 *
 * @throws {@link TenancyError} TENANCY_DATABASE_SCHEMA_FAILED, TENANCY_DATABASE_SCHEMA_INVALID; the unfinished template is
 *   dropped
 */
export function ensureTemplate(options: TemplateOptions, schema: TenantSchema): Promise<Template> {
  return withTemplate(options, schema, async (_admin, template) => template)
}

/**
 * Makes sure that the template exists, as {@link ensureTemplate} does, and runs `work` while nobody can drop it or build
 * another one.
 *
 * @param work gets a connection of the provisioning account to the catalog, which holds the lock
 */
export async function withTemplate<Result>(
  options: TemplateOptions,
  schema: TenantSchema,
  work: (admin: SqlClient, template: Template) => Promise<Result>,
): Promise<Result> {
  const { server, names } = options
  const name = names.template(schema.version)
  return withConnection(server, async (admin) => {
    await lockTemplates(admin, templateLockKey(options, names.templatePrefix))
    if (!(await isUsable(admin, name))) {
      await ensureGroupRole(admin, names.members)
      await ensureGroupRole(admin, names.owners)
      await joinGroup(admin, names.owners)
      await buildTemplate(admin, options, schema, name)
      await dropOlderTemplates(admin, options, name)
    }
    const { settings, refused } = await readDatabaseSettings(admin, name)
    return work(admin, { name, settings, refusedSettings: refused })
  })
}

/** False also for a template whose drop was begun by a process that died. */
async function isUsable(admin: SqlClient, name: string): Promise<boolean> {
  const { rowCount } = await admin.query(
    'select from pg_database where datname = $1 and datistemplate and datconnlimit <> -2',
    [name],
  )
  return rowCount !== 0 && !(await isCollationOutdated(admin, name))
}

async function ensureGroupRole(admin: SqlClient, name: string): Promise<void> {
  const { rows } = await admin.query<{ isPlain: boolean }>(
    `select not (rolcanlogin or rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls) as "isPlain"
       from pg_roles where rolname = $1`,
    [name],
  )
  const [role] = rows
  if (!role) await admin.query(`create role ${quoteIdentifier(name)} nologin`)
  // Its members would inherit its rights.
  else if (!role.isPlain) throw new Error(`the role ${name} exists and can do more than a group role`)
}

async function buildTemplate(
  admin: SqlClient,
  options: TemplateOptions,
  schema: TenantSchema,
  template: string,
): Promise<void> {
  const { server, names, installationId } = options
  const unfinished = quoteIdentifier(names.unfinishedTemplate)
  // Left by a process that died here: this process holds the lock, so nobody works on it.
  await dropUnfinished(admin, names)
  await dropTemplate(admin, template)
  await admin.query(`create database ${unfinished} template template0`)
  try {
    await admin.query(closedDatabase(names.unfinishedTemplate, names))
    const account = { ...server, database: names.unfinishedTemplate }
    await withHeartbeat(admin, () => withConnectionInside(account, (client) => fillTemplate(client, options, schema)))
    // One message is one transaction: the name appears together with what makes the template safe to use.
    await admin.query(
      `comment on database ${unfinished} is ${quoteLiteral(templateComment(installationId))};
       alter database ${unfinished} is_template true allow_connections false;
       alter database ${unfinished} rename to ${quoteIdentifier(template)}`,
    )
  } catch (error) {
    // If that fails, the reconciler drops it.
    await dropUnfinished(admin, names).catch(() => {})
    throw error
  }
}

/** Fills a template. Its owner login has a password that nobody else knows, and is gone before the template has its name. */
async function fillTemplate(
  client: SqlClient,
  { server, names, lockTimeoutMs, isHardened = false, rights, extensions }: TemplateOptions,
  schema: TenantSchema,
): Promise<void> {
  await createBaseSchema(client, names)
  await createExtensions(client, extensions)
  if (isHardened) await hardenDatabase(client, names.members, names.owners)
  await applyTenantSchema(client, schema, {
    members: names.members,
    owners: names.owners,
    lockTimeoutMs,
    async withOwner(work) {
      const database = names.unfinishedTemplate
      const login = { name: names.ownerLogin(database), password: randomBytes(32).toString('base64url') }
      await ensureOwnerLogin(client, login, { rights, owners: names.owners })
      await withConnectionInside({ ...server, user: login.name, password: login.password, database }, async (owner) => {
        await work(owner)
        // What files may have set for objects that it makes.
        await owner.query('drop owned by session_user')
      })
      await client.query(`${revokeOwnerLogin(login.name, database)}; ${dropOwnerLoginSql(login.name)}`)
    },
  })
}

/** Drops the template under construction and the login that fills it. The caller holds the lock. */
async function dropUnfinished(admin: SqlClient, names: DatabaseNames): Promise<void> {
  await admin.query(`drop database if exists ${quoteIdentifier(names.unfinishedTemplate)} with (force)`)
  await admin.query(dropOwnerLoginSql(names.ownerLogin(names.unfinishedTemplate)))
}

/** Drops a template that cannot be used: its drop had begun, or it cannot be copied any more. */
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
    // A process of another version may be copying it: then it stays, no longer a template, and the reconciler drops it.
    await admin.query(`drop database ${quoteIdentifier(name)}`).catch(() => {})
  }
}

/**
 * Drops what a process left that died while it built or dropped a template.
 *
 * @returns names of the databases that were dropped
 */
export async function removeUnfinishedTemplates(
  options: Pick<TemplateOptions, 'server' | 'secret' | 'names' | 'installationId'>,
): Promise<string[]> {
  const { server, names, installationId } = options
  return withConnection(server, async (admin) => {
    // Another process is building one.
    if (!(await tryLock(admin, templateLockKey(options, names.templatePrefix)))) return []
    const dropped = await findUnfinishedTemplates(admin, { names, installationId })
    for (const name of dropped) await admin.query(`drop database if exists ${quoteIdentifier(name)} with (force)`)
    await dropUnfinished(admin, names)
    return dropped
  })
}

/**
 * Finds the databases that are templates without their name yet, or whose drop has begun. A template that another process
 * is building now is among them.
 */
export async function findUnfinishedTemplates(
  admin: SqlClient,
  { names, installationId }: Pick<TemplateOptions, 'names' | 'installationId'>,
): Promise<string[]> {
  const { rows } = await admin.query<{ name: string }>(
    `select datname as name from pg_database
      where datname = $1 or (starts_with(datname, $2) and (not datistemplate or datconnlimit = -2)
        and shobj_description(oid, 'pg_database') = $3)
     -- A process may have died after it dropped the database and before it dropped the login.
     union select $1 from pg_roles where rolname = $4`,
    [
      names.unfinishedTemplate,
      names.templatePrefix,
      templateComment(installationId),
      names.ownerLogin(names.unfinishedTemplate),
    ],
  )
  return rows.map(({ name }) => name)
}
