import { createHash } from 'node:crypto'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { isTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import type { SqlPool } from '../../core/sql-client.js'
import type { SchemaSource } from '../../core/tenants/migration.js'
import type { TenantDatabaseRecords } from '../../core/tenants/tenant-databases.js'
import type { DatabaseNames } from '../database-names.js'
import { checkExtensions } from '../owner/extensions.js'
import { joinGroup, joinRoles, needsMembership, readAdminRights, reportAdminRights } from '../server/admin-rights.js'
import { warnOfOutdatedCollations } from '../server/collations.js'
import { revokedFunctions } from '../server/hardening.js'
import { roleLockKey } from '../server/lock-keys.js'
import { reconcileRoleLimits } from '../server/role-limits.js'
import { reconcileTempFileLimits } from '../server/temp-file-limit.js'
import type { BuilderOptions } from './database-builder.js'
import { ensureTemplate, type Template, type TemplateOptions } from './template.js'
import { readTenantSchema, type TenantSchema } from './tenant-schema.js'

/** The settings of an installation that decide how its databases on one server are made. */
export interface ServerSettings {
  readonly records: TenantDatabaseRecords
  /**
   * The provisioning account, which may create databases and roles; it never serves tenant traffic. Its `database` is the
   * catalog: locks are held there, where no tenant can connect.
   */
  readonly server: ServerAccount
  /** The server's name in the catalog. Default: `default`. */
  readonly serverName?: string
  /** Master secret that the roles' passwords are derived from, at least 32 bytes. */
  readonly secret: Buffer
  /** The migrations of every tenant's schema. Default: those of `schemaDir`. */
  readonly schema?: SchemaSource | undefined
  /** Folder of migrations, of a kind that is detected. Default: none, tenants start empty. */
  readonly schemaDir?: string | undefined
  /** Longest wait of a schema file's statement for a lock. Default: 2000. */
  readonly schemaLockTimeoutMs?: number
  /** Most connections that the server lets a tenant's role have, see `roleConnectionLimit`. Default: no limit. */
  readonly roleConnectionLimit?: number
  /** Most temporary files of one session of a tenant, in MB; takes a superuser. Default: 0, no limit. */
  readonly tempFileLimitMb?: number
  /** Revoke functions that use up what the server shares from tenants; takes a superuser. Default: false. */
  readonly isHardened?: boolean
  /** Extensions that every tenant database has. Default: none. */
  readonly extensions?: readonly string[]
  readonly logger: Logger
}

/** What {@link createServerPreparation} needs. */
export interface ServerPreparationOptions extends ServerSettings {
  readonly names: DatabaseNames
  /** Connections of the provisioning account. */
  readonly admin: SqlPool
}

/** A server that databases can be built on. */
export interface PreparedServer {
  readonly builder: BuilderOptions
  readonly schema: TenantSchema
  readonly template: Template
  /** What the template is found or made again with. */
  readonly templateOptions: TemplateOptions
}

/** Makes a server ready for builds: its template, the limits of its roles, the rights of the provisioning account. */
export interface ServerPreparation {
  /**
   * The prepared server. The first call prepares it; after a failure the next call tries again.
   * @throws {@link TenancyError} TENANCY_DATABASE_BUILD_FAILED, TENANCY_DATABASE_SCHEMA_FAILED,
   *   TENANCY_DATABASE_SCHEMA_INVALID
   */
  prepared(): Promise<PreparedServer>
  /** Waits for the first preparation, which may fail: that is not tried again here. */
  tried(): Promise<void>
  /** The schema that this process demands. It does not change while the process runs. */
  schema(): Promise<TenantSchema>
  /** The same, without making the template of it: its files may fail there. @throws TENANCY_DATABASE_SCHEMA_INVALID */
  readSchema(): Promise<TenantSchema>
  /** Forgets the template, which was dropped: the next `prepared()` makes it again. */
  forgetTemplate(): void
  /** Waits for a preparation under way. */
  settled(): Promise<void>
}

/** The preparation of one server. Connects when first used. */
export function createServerPreparation(options: ServerPreparationOptions): ServerPreparation {
  const { records, server, secret, names, admin, logger, serverName = 'default', roleConnectionLimit } = options
  const { tempFileLimitMb = 0, isHardened = false, extensions = [] } = options
  let preparing: Promise<PreparedServer> | undefined
  let knownSchema: TenantSchema | undefined

  const readSchema = async (installationId: string): Promise<TenantSchema> => {
    const schema = await readTenantSchema(options.schema ?? options.schemaDir, installationId)
    const version = extensions.length > 0 ? extendedVersion(schema.version, extensions) : schema.version
    return { ...schema, version: isHardened ? hardenedVersion(version) : version }
  }

  const prepareOnce = async (): Promise<PreparedServer> => {
    const installationId = await records.installationId()
    // A template that has to be made again is made of the files that were read first.
    const schema = knownSchema ?? (await readSchema(installationId))
    const { schemaLockTimeoutMs: lockTimeoutMs } = options
    const rights = await readAdminRights(admin)
    await checkExtensions(admin, extensions, rights)
    const templateOptions = {
      ...{ server, names, installationId, secret, lockTimeoutMs, isHardened, rights, extensions },
    }
    const [serverId, template] = await Promise.all([
      records.serverId(serverName),
      ensureTemplate(templateOptions, schema),
    ])
    // Only now: files that fail may be corrected and read again.
    knownSchema = schema
    if (template.refusedSettings.length > 0) {
      const fields = { settings: template.refusedSettings }
      logger.warn(fields, 'The schema gives its database settings that new tenants do not get: they load code')
    }
    await warnOfDivergedSchemas(serverId, schema)
    await retireOutdatedStock(serverId)
    if (roleConnectionLimit !== undefined) {
      const lockKey = roleLockKey({ secret, installationId })
      await reconcileRoleLimits(admin, names.members, roleConnectionLimit, lockKey)
    }
    reportAdminRights(rights, logger)
    // The template may be the work of another account.
    await joinGroup(admin, names.owners)
    if (needsMembership(rights)) await joinRoles(admin, names.members)
    if (rights.isSuperuser) {
      await reconcileTempFileLimits(admin, { installationId, prefix: names.prefix, megabytes: tempFileLimitMb })
    }
    const builder = {
      tempFileLimitMb,
      records,
      admin,
      rights,
      server,
      serverId,
      installationId,
      names,
      secret,
      roleConnectionLimit,
    }
    return { builder, schema, template, templateOptions }
  }

  const warnOfDivergedSchemas = async (serverId: string, schema: TenantSchema) => {
    const diverged = await records.countDiverged(serverId, schema.latest)
    if (diverged === 0) return
    logger.warn(
      { databases: diverged },
      'Tenants have schema files of the same numbers and other texts: a file was edited after it was applied. Restore it and add a new one',
    )
  }

  /** Retires ready databases that were copied before the operating system changed its collation. */
  const retireOutdatedStock = async (serverId: string) => {
    const outdated = new Set(await warnOfOutdatedCollations(admin, names.prefix, logger))
    if (outdated.size === 0) return
    const recorded = await records.list(serverId)
    const stale = recorded.filter(({ state, name }) => state === 'ready' && outdated.has(name))
    for (const { id } of stale) await records.retireUnusable(id)
  }

  const prepared = (): Promise<PreparedServer> => {
    preparing ??= prepareOnce().catch((cause: unknown) => {
      preparing = undefined
      if (isTenancyError(cause)) throw cause
      throw new TenancyError(
        'TENANCY_DATABASE_BUILD_FAILED',
        `No template for tenant databases on ${server.host}:${server.port}: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      )
    })
    return preparing
  }

  let firstTry: Promise<void> | undefined
  return {
    prepared,
    tried: () =>
      (firstTry ??= prepared().then(
        () => {},
        () => {},
      )),
    schema: async () => knownSchema ?? (await prepared()).schema,
    readSchema: async () => knownSchema ?? readSchema(await records.installationId()),
    forgetTemplate() {
      preparing = undefined
    },
    async settled() {
      await preparing?.catch(() => {})
    },
  }
}

/** Version of a schema whose template is hardened: a template with revocations is another template. */
function hardenedVersion(version: string): string {
  return createHash('sha256')
    .update(`hardened ${version} ${revokedFunctions.join(' ')}`)
    .digest('hex')
    .slice(0, 16)
}

/** Version of a schema whose template has extensions. */
function extendedVersion(version: string, extensions: readonly string[]): string {
  return createHash('sha256')
    .update(`extended ${version} ${extensions.toSorted().join(' ')}`)
    .digest('hex')
    .slice(0, 16)
}
