import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { createTenantDatabaseRecords } from '../../src/catalog/tenants/tenant-databases.js'
import { createTenants, type Tenants } from '../../src/catalog/tenants/tenants.js'
import type { ServerAccount } from '../../src/core/tenants/database-target.js'
import type { Logger } from '../../src/core/logger.js'
import { quoteIdentifier } from '../../src/postgres/text/quote.js'
import {
  createTenantDatabases,
  type TenantDatabases,
  type TenantDatabasesOptions,
} from '../../src/databases/tenant-databases.js'
import { createTestCatalog, type TestDatabase } from '../support/catalog.js'
import { testPrefix, testServer, withAdmin } from '../support/server.js'

/** An installation of its own: catalog, prefix, schema folder. */
export interface Installation {
  readonly catalog: TestDatabase
  readonly prefix: string
  readonly secret: Buffer
  readonly schemaDir: string
  /** Id of the installation, from which keys of locks are derived. */
  readonly installationId: string
  readonly server: ServerAccount
  /** Log lines: level and message. */
  readonly log: string[]
  writeSchema(name: string, sql: string): Promise<void>
  removeSchema(name: string): Promise<void>
  /** Opens what another process of the installation would; closed by `drop`. */
  open(options?: Partial<TenantDatabasesOptions> & { readonly retentionDays?: number }): {
    databases: TenantDatabases
    tenants: Tenants
  }
  createUser(name?: string): Promise<string>
  /** Databases and roles on the server that carry the prefix. */
  onServer(): Promise<{ databases: string[]; roles: string[] }>
  drop(): Promise<void>
}

export async function createInstallation(): Promise<Installation> {
  const catalog = await createTestCatalog()
  // Cloned catalogs have the same installation id.
  const renamed = await catalog.pool.query('update installation set id = gen_random_uuid() returning id')
  const installationId = renamed.rows[0].id as string
  // Short, so that an id fits behind it.
  const prefix = `${testPrefix()}${randomBytes(3).toString('hex')}_`
  const schemaDir = await mkdtemp(join(tmpdir(), 't2f-schema-'))
  const { host, port, user, password } = await testServer()
  const server = { host, port, user, password, database: catalog.databaseName }
  const secret = randomBytes(32)
  const log: string[] = []
  const logged = (level: string) => (_: object, message: string) => void log.push(`${level}: ${message}`)
  const logger: Logger = { debug: logged('debug'), info: logged('info'), warn: logged('warn'), error: logged('error') }
  const opened: TenantDatabases[] = []
  const records = createTenantDatabaseRecords(catalog.pool)

  const onServer = () => withAdmin((admin) => named(admin, prefix))
  return {
    catalog,
    prefix,
    secret,
    schemaDir,
    installationId,
    server,
    log,
    onServer,
    writeSchema: (name, sql) => writeFile(join(schemaDir, name), sql),
    removeSchema: (name) => rm(join(schemaDir, name)),
    open({ retentionDays = 30, ...options } = {}) {
      const databases = createTenantDatabases({
        records,
        server,
        prefix,
        secret,
        schemaDir,
        readyTarget: 0,
        logger,
        ...options,
      })
      opened.push(databases)
      return { databases, tenants: createTenants({ catalog: catalog.pool, databases, retentionDays }) }
    },
    async createUser(name = randomBytes(4).toString('hex')) {
      const { rows } = await catalog.pool.query(
        'insert into users (email, name, email_verified) values ($1, $2, true) returning id',
        [`${name}@example.com`, name],
      )
      return rows[0].id as string
    },
    async drop() {
      await Promise.all(opened.map((databases) => databases.close()))
      await catalog.drop()
      await rm(schemaDir, { recursive: true })
      await withAdmin(async (admin) => {
        const { databases, roles } = await named(admin, prefix)
        for (const name of databases) {
          await admin.query(`alter database ${quoteIdentifier(name)} is_template false`)
          await admin.query(`drop database ${quoteIdentifier(name)}`)
        }
        for (const name of roles) await admin.query(`drop role ${quoteIdentifier(name)}`)
      })
    },
  }
}

async function named(admin: pg.Client, prefix: string): Promise<{ databases: string[]; roles: string[] }> {
  const databases = await admin.query(
    'select datname as name from pg_database where starts_with(datname, $1) order by 1',
    [prefix],
  )
  const roles = await admin.query('select rolname as name from pg_roles where starts_with(rolname, $1) order by 1', [
    prefix,
  ])
  return { databases: databases.rows.map((row) => row.name), roles: roles.rows.map((row) => row.name) }
}
