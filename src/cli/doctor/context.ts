import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type CatalogPool, createCatalogPool } from '../../catalog/catalog-pool.js'
import { type OpenServer, openServer } from '../../composition/opening/open-server.js'
import type { Config } from '../../core/config/config.js'
import { wholeConfig } from '../../core/config/config-secrets.js'
import { loadConfig } from '../../core/config/load-config.js'
import type { Logger } from '../../core/logger.js'
import type { SqlClient } from '../../core/sql-client.js'
import { databaseNames, type DatabaseNames } from '../../databases/database-names.js'
import { openConnection } from '../../databases/server/admin-connection.js'
import type { CreateTenancyOptions } from '../../tenancy.js'
import type { Tenancy } from '../../tenancy-interface.js'
import { pendingCatalogMigrations } from './catalog-ledger.js'
import { Unmet } from './finding.js'
import { openRedisProbe, type RedisProbe } from './redis-probe.js'

/** Where the doctor looks. */
export interface DoctorOptions {
  /** The application's folder: where `.env` and `node_modules` are. */
  readonly folder: string
  /** The environment over `.env`. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** The options of the application's file. */
  readonly application: Pick<CreateTenancyOptions, 'config' | 'schemaDir'>
  /** Why that file could not be read; undefined: it could, or there is none. */
  readonly applicationError?: unknown
  /** Look into every tenant's database, too. */
  readonly isDeep: boolean
  /** Opens the installation: for repairs, and with `isDeep`. The caller closes it. */
  readonly openTenancy: () => Promise<Tenancy>
}

/**
 * What checks look at. Each part is opened when a check first asks for it, once; what cannot be opened is an {@link Unmet},
 * so that one check reports it and those that need it are skipped. Opening a part changes nothing on the server.
 */
export interface DoctorContext extends DoctorOptions {
  readonly envFile: string
  config(): Config
  names(): DatabaseNames
  /** Schema folder of the application, or undefined. */
  schemaFolder(): string | undefined
  /** The server's account and the master secret; starts or joins the embedded server. Rejects with the server's error. */
  connectServer(): Promise<ConnectedServer>
  /** As `connectServer`, {@link Unmet} when there is none. */
  server(): Promise<ConnectedServer>
  /** The catalog database, whatever is in it; {@link Unmet} when it does not exist. */
  catalogDatabase(): Promise<CatalogPool>
  /** The catalog, when every migration is applied. */
  catalog(): Promise<CatalogPool>
  /** The configured Redis; {@link Unmet} when there is none or it does not answer. */
  redis(): Promise<RedisProbe>
  /** As `redis`, with the error of the connection. */
  connectRedis(): Promise<RedisProbe>
  /** The whole installation. */
  tenancy(): Promise<Tenancy>
  close(): Promise<void>
}

/** A server, and a connection of the provisioning account to its maintenance database. */
export interface ConnectedServer extends OpenServer {
  readonly client: SqlClient
  /** The process number that the server, or a pooler before it, gave this connection. */
  readonly processId: number
}

const queryTimeoutMs = 8000
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** Makes the context. Opens nothing yet. */
export function createDoctorContext(options: DoctorOptions): DoctorContext {
  const { env, folder, application, openTenancy } = options
  const closing: (() => Promise<unknown> | void)[] = []
  const config = once(() => (application.config === undefined ? loadConfig(env) : wholeConfig(application.config)))

  const connectServer = once(async (): Promise<ConnectedServer> => {
    const settings = orUnmet('a valid configuration', config)
    const { server, dataDir } = settings
    // An unfinished or missing data folder is made by the application, not by looking at it.
    if (server === undefined && !existsSync(join(dataDir, 'secret')))
      throw new Unmet('data: start the application once')
    const opened = await openServer(settings, silent)
    closing.push(() => opened.close())
    const client = await openConnection(opened.account, queryTimeoutMs)
    closing.push(() => client.end())
    const processId = (client as { readonly processID?: number | null }).processID ?? 0
    return { ...opened, client, processId }
  })
  const server = () => connectServer().catch(unmet('a server that can be reached'))

  const catalogDatabase = once(async () => {
    const { client, account } = await server()
    const { catalogDatabase: name } = config()
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name])
    if (rowCount === 0) throw new Unmet('a catalog: the first start of the application makes it')
    const pool = createCatalogPool({ ...account, database: name })
    closing.push(() => pool.end())
    return pool
  })

  const catalog = once(async () => {
    const pool = await catalogDatabase()
    const pending = await pendingCatalogMigrations(pool).catch(unmet('a catalog of this version'))
    if (pending.length > 0) throw new Unmet('a catalog with every migration')
    return pool
  })

  const connectRedis = once(async () => {
    const { redis } = config()
    if (redis === undefined) throw new Unmet('TENANT_REDIS_URL')
    const probe = await openRedisProbe(redis.url)
    closing.push(() => probe.close())
    return probe
  })

  return {
    ...options,
    envFile: join(folder, '.env'),
    config: () => orUnmet('a valid configuration', config),
    names: () => databaseNames(orUnmet('a valid configuration', config).databasePrefix),
    schemaFolder: () => application.schemaDir ?? orUnmet('a valid configuration', config).schemaDir,
    connectServer,
    server,
    catalogDatabase,
    catalog,
    connectRedis,
    redis: () => connectRedis().catch(unmet('a Redis that can be reached')),
    tenancy: once(openTenancy),
    async close() {
      // In reverse order; a part that does not close keeps no other from it.
      for (const close of closing.toReversed()) await Promise.resolve(close()).catch(() => {})
    },
  }
}

/** Remembers the first result, an error included. */
function once<Result>(make: () => Result): () => Result {
  let made: { readonly result: Result } | { readonly error: unknown } | undefined
  return () => {
    if (made === undefined) {
      try {
        made = { result: make() }
      } catch (error) {
        made = { error }
      }
    }
    if ('error' in made) throw made.error
    return made.result
  }
}

function unmet(need: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof Unmet ? error : new Unmet(need)
  }
}

function orUnmet<Result>(need: string, make: () => Result): Result {
  try {
    return make()
  } catch (error) {
    return unmet(need)(error)
  }
}
