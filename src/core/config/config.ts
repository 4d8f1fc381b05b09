import type { ServerAccount, ServerAddress } from '../tenants/database-target.js'
import type { SettingValues } from './settings.js'

/**
 * All settings, validated. Secrets (`secret`, `server.password`, `redis.url`, `mail.password`) are read by name; no copy, list
 * of entries, clone, JSON or print of it has them. `createTenancy()` takes `{ ...config, maxConnections: 5 }` all the same.
 */
export interface Config {
  /** The configured PostgreSQL server; undefined: run the embedded one in `dataDir`. */
  readonly server: ServerAccount | undefined
  readonly catalogDatabase: string
  readonly dataDir: string
  readonly databasePrefix: string
  readonly schemaDir: string | undefined
  /** Extensions of every tenant database. */
  readonly extensions: readonly string[]
  /** Treatment of a request for a tenant whose schema is behind. */
  /** Folder of seeds. */
  readonly seedDir: string | undefined
  readonly schemaBehind: 'migrate' | 'refuse' | 'serve'
  readonly schemaLockTimeoutMs: number
  readonly readyDatabases: number
  readonly retentionDays: number
  /** Days for which a renamed tenant keeps its old slug; 0: it does not. */
  readonly slugAliasDays: number
  /** Days that a replaced database is kept. */
  readonly swappedDays: number
  /** Folder of `pg_dump` and `pg_restore`; undefined: the path. */
  readonly pgBinDir: string | undefined
  readonly maxConnections: number
  readonly maxTenantConnections: number
  /** Number of processes like this one that share the server. */
  readonly processes: number
  /** PgBouncer for tenant traffic; undefined: tenant traffic goes to the server itself. */
  readonly pooler: ServerAddress | undefined
  readonly prepareStatements: boolean
  /** Most temporary files of one session of a tenant; 0: no limit. */
  readonly tempFileLimitMb: number
  /** Whether tenants may not call functions that use up resources which databases share. */
  readonly isHardened: boolean
  /** Watch over the resources that databases of one server share. */
  readonly watch: {
    /** Time between two checks, counted over all processes; 0: nothing is watched. */
    readonly intervalMs: number
    /** Undefined: a quarter of the lock table. */
    readonly maxTenantLocks: number | undefined
    /** 0 to 1. */
    readonly maxQueueUsage: number
  }
  /** 32 bytes; undefined: a development secret (see `docs/config.md`). */
  readonly secret: Buffer | undefined
  readonly urlPrefix: string
  readonly baseDomain: string | undefined
  /** Whether members of several tenants have to name one in each request: their default is not used. */
  readonly requireNamedTenant: boolean
  readonly maxStalenessMs: number
  /** Source of changes in the catalog. */
  readonly changesBy: 'listen' | 'poll'
  readonly redis: { readonly url: string; readonly ttlSeconds: number } | undefined
  readonly seedProfile: 'dev' | 'prod'
  readonly trustedProxies: readonly string[]
  readonly token: {
    readonly issuer: string
    readonly audience: string
    readonly ttlSeconds: number
    /** Of tokens of platform administrators. */
    readonly platformTtlSeconds: number
    readonly refreshTtlSeconds: number
  }
  readonly oidcIssuers: SettingValues['TENANT_OIDC_ISSUERS']
  readonly authPrefix: string
  readonly publicUrl: string
  /** Limits of accounts that differ from the defaults. */
  readonly accountsLimits: SettingValues['TENANT_ACCOUNTS_LIMITS']
  readonly mail:
    | {
        readonly host: string
        readonly port: number
        readonly secure: boolean
        readonly requireTls: boolean
        readonly username: string | undefined
        readonly password: string | undefined
        readonly from: string
      }
    | undefined
  /** Whether `NODE_ENV` is `production`. */
  readonly isProduction: boolean
}
