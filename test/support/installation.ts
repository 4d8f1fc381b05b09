import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { createTenancy, type CreateTenancyOptions, loadConfig, type Logger, type Tenancy } from '../../src/index.js'
import { quoteIdentifier } from '../../src/postgres/text/quote.js'
import { dropDatabase } from './catalog.js'
import { testPrefix, urlOf, withAdmin } from './server.js'

/** One line of a log. */
export interface LogLine {
  readonly level: string
  readonly fields: object
  readonly message: string
}

/** Names and settings of an installation that is opened by `createTenancy()`, on the server of this run. */
export interface Installation {
  /** `TENANT_*` settings: a catalog and a prefix of its own, no ready databases unless said otherwise. */
  readonly env: Readonly<Record<string, string>>
  readonly catalogName: string
  readonly prefix: string
  /** Log lines of all tenancies that were opened here. */
  readonly log: readonly LogLine[]
  readonly logger: Logger
  /** Calls `createTenancy()` with these settings. `drop` closes the tenancy if the test has not. */
  open(options?: OpenOptions): Promise<Tenancy>
  /** Databases and roles on the server that belong to the installation. */
  onServer(): Promise<{ databases: string[]; roles: string[] }>
  /** Closes and removes everything. Throws when a connection was left open. */
  drop(): Promise<void>
}

/** Options of `createTenancy()`, with settings over the installation's own. */
export interface OpenOptions extends Omit<CreateTenancyOptions, 'config'> {
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** The schema folder of the quick start: the table `notes`. */
export const notesSchema = fileURLToPath(new URL('../../examples/quick-start/schema', import.meta.url))

/** Makes names and settings of an installation; nothing is on the server before it is opened. */
export function createInstallation(settings: Readonly<Record<string, string>> = {}): Installation {
  const id = randomBytes(3).toString('hex')
  // 23 characters, the longest prefix that the configuration allows.
  const prefix = `${testPrefix()}${id}_`
  const catalogName = `${testPrefix()}${id}`
  const env: Record<string, string> = {
    TENANT_DATABASE_URL: urlOf('postgres'),
    TENANT_CATALOG_DB: catalogName,
    TENANT_DB_PREFIX: prefix,
    TENANT_SECRET: randomBytes(32).toString('hex'),
    TENANT_READY_DATABASES: '0',
    TENANT_SCHEMA_DIR: notesSchema,
    ...settings,
  }
  const log: LogLine[] = []
  const logTo = (level: string) => (fields: object, message: string) => void log.push({ level, fields, message })
  const logger: Logger = { debug: logTo('debug'), info: logTo('info'), warn: logTo('warn'), error: logTo('error') }
  const opened: Tenancy[] = []
  const onServer = () =>
    withAdmin(async (admin) => {
      const databases = await admin.query<{ name: string }>(
        'select datname as name from pg_database where datname = $1 or starts_with(datname, $2) order by 1',
        [catalogName, prefix],
      )
      const roles = await admin.query<{ name: string }>(
        'select rolname as name from pg_roles where starts_with(rolname, $1) order by 1',
        [prefix],
      )
      return { databases: databases.rows.map((row) => row.name), roles: roles.rows.map((row) => row.name) }
    })
  return {
    env,
    catalogName,
    prefix,
    log,
    logger,
    onServer,
    async open({ env: overrides, ...options } = {}) {
      const tenancy = await createTenancy({ config: loadConfig({ ...env, ...overrides }), logger, ...options })
      opened.push(tenancy)
      return tenancy
    },
    async drop() {
      await Promise.all(opened.map((tenancy) => tenancy.close()))
      const { databases, roles } = await onServer()
      await withAdmin(async (admin) => {
        const failures: unknown[] = []
        for (const name of databases) {
          await admin.query(`alter database ${quoteIdentifier(name)} is_template false`)
          await dropDatabase(admin, name).catch((error: unknown) => failures.push(error))
        }
        for (const name of roles) await admin.query(`drop role ${quoteIdentifier(name)}`)
        if (failures.length > 0) throw failures[0]
      })
    },
  }
}
