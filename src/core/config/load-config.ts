import { existsSync, readFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { parseEnv } from 'node:util'
import { type SettingName, type SettingValues, settings } from './settings.js'
import type { Config } from './config.js'
import { protectConfig } from './config-secrets.js'
import type { ServerAccount, ServerAddress } from '../tenants/database-target.js'
import { parseDatabaseUrl } from './database-url.js'
import { TenancyError } from '../errors/errors.js'
import { isServiceLink } from './service-links.js'
import { describeProblem, problemsOf } from './setting-problems.js'

const serverSettings = [
  'TENANT_SUPERUSER_DB__HOSTNAME',
  'TENANT_SUPERUSER_DB__PORT',
  'TENANT_SUPERUSER_DB__USERNAME',
  'TENANT_SUPERUSER_DB__PASSWORD',
  'TENANT_SUPERUSER_DB__NAME',
] as const satisfies readonly SettingName[]

/** Reads the environment of this process, and the `.env` file of the current folder for variables that are not set in it. */
export function readEnvironment(): Record<string, string | undefined> {
  return existsSync('.env') ? { ...parseEnv(readFileSync('.env', 'utf8')), ...process.env } : process.env
}

/**
 * Reads every `TENANT_*` setting. An empty variable counts as not set, and so do those that Kubernetes sets for a service
 * whose name starts with `tenant-`.
 *
 * @param given the variables; default: the process environment over `.env`
 * @throws {@link TenancyError} TENANCY_CONFIG_INVALID naming every problem at once, none with a value of a secret in it
 */
export function loadConfig(given: Readonly<Record<string, string | undefined>> = readEnvironment()): Config {
  const env = withoutServiceLinks(given)
  const problems: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(settings)) {
    const value = env[name] === '' ? undefined : env[name]
    const result = setting.schema.safeParse(value, { error: describeProblem })
    if (result.success) values[name] = result.data
    else problems.push(`${name} ${problemsOf(result).join('; ')}`)
  }
  for (const name of Object.keys(env)) {
    if (name.startsWith('TENANT_') && !(name in settings)) problems.push(`${name} is not a setting: see docs/config.md`)
  }
  const own = values as SettingValues
  const isProduction = env['NODE_ENV'] === 'production'
  const server = readServer(env, own, problems)
  const pooler = readPooler(own, server, problems)
  if (!own.TENANT_SECRET && (isProduction || (server !== undefined && !isLocal(server.host)))) {
    if (!problems.some((problem) => problem.startsWith('TENANT_SECRET '))) {
      problems.push(
        'TENANT_SECRET is required in production and for servers that are not on this machine (openssl rand -hex 32)',
      )
    }
  }
  if (own.TENANT_MAX_TENANT_CONNECTIONS > own.TENANT_MAX_CONNECTIONS) {
    problems.push('TENANT_MAX_TENANT_CONNECTIONS must not be above TENANT_MAX_CONNECTIONS')
  }
  if (own.TENANT_MAIL__HOST && !own.TENANT_MAIL__FROM)
    problems.push('TENANT_MAIL__FROM is required with TENANT_MAIL__HOST')
  if ((own.TENANT_MAIL__USERNAME === undefined) !== (own.TENANT_MAIL__PASSWORD === undefined)) {
    problems.push('TENANT_MAIL__USERNAME and TENANT_MAIL__PASSWORD go together')
  }
  if (problems.length > 0)
    throw new TenancyError('TENANCY_CONFIG_INVALID', `Invalid configuration:\n- ${problems.join('\n- ')}`)
  return protectConfig({
    server,
    catalogDatabase: own.TENANT_CATALOG_DB,
    dataDir: own.TENANT_DATA_DIR,
    databasePrefix: own.TENANT_DB_PREFIX,
    schemaDir: own.TENANT_SCHEMA_DIR,
    seedDir: own.TENANT_SEED_DIR,
    extensions: own.TENANT_EXTENSIONS,
    schemaBehind: own.TENANT_SCHEMA_BEHIND ?? (isProduction ? 'serve' : 'migrate'),
    schemaLockTimeoutMs: own.TENANT_SCHEMA_LOCK_TIMEOUT_MS,
    readyDatabases: own.TENANT_READY_DATABASES,
    retentionDays: own.TENANT_RETENTION_DAYS,
    slugAliasDays: own.TENANT_SLUG_ALIAS_DAYS,
    swappedDays: own.TENANT_SWAPPED_DAYS,
    pgBinDir: own.TENANT_PG_BIN_DIR,
    maxConnections: own.TENANT_MAX_CONNECTIONS,
    maxTenantConnections: own.TENANT_MAX_TENANT_CONNECTIONS,
    tempFileLimitMb: own.TENANT_TEMP_FILE_LIMIT_MB,
    isHardened: own.TENANT_HARDENED,
    watch: {
      intervalMs: own.TENANT_WATCH_INTERVAL_MS,
      maxTenantLocks: own.TENANT_MAX_TENANT_LOCKS,
      maxQueueUsage: own.TENANT_MAX_QUEUE_PERCENT / 100,
    },
    processes: own.TENANT_PROCESSES,
    pooler,
    prepareStatements: own.TENANT_PREPARE_STATEMENTS,
    secret:
      own.TENANT_SECRET === undefined
        ? undefined
        : Buffer.from(own.TENANT_SECRET, own.TENANT_SECRET.length === 64 ? 'hex' : 'base64url'),
    urlPrefix: own.TENANT_URL_PREFIX,
    baseDomain: own.TENANT_BASE_DOMAIN,
    requireNamedTenant: own.TENANT_REQUIRE_NAMED_TENANT,
    maxStalenessMs: own.TENANT_MAX_STALENESS_MS,
    changesBy: own.TENANT_CHANGES_BY,
    redis:
      own.TENANT_REDIS_URL === undefined ? undefined : { url: own.TENANT_REDIS_URL, ttlSeconds: own.TENANT_REDIS_TTL },
    seedProfile: own.TENANT_SEED_PROFILE ?? (isProduction ? 'prod' : 'dev'),
    trustedProxies: own.TENANT_TRUSTED_PROXIES,
    token: {
      issuer: own.TENANT_TOKEN_ISSUER,
      audience: own.TENANT_TOKEN_AUDIENCE,
      ttlSeconds: own.TENANT_TOKEN_TTL,
      platformTtlSeconds: own.TENANT_PLATFORM_TOKEN_TTL,
      refreshTtlSeconds: own.TENANT_REFRESH_TTL,
    },
    oidcIssuers: own.TENANT_OIDC_ISSUERS,
    authPrefix: own.TENANT_AUTH_PREFIX,
    publicUrl: own.TENANT_PUBLIC_URL.replace(/\/+$/, ''),
    accountsLimits: own.TENANT_ACCOUNTS_LIMITS,
    mail:
      own.TENANT_MAIL__HOST && own.TENANT_MAIL__FROM
        ? {
            host: own.TENANT_MAIL__HOST,
            port: own.TENANT_MAIL__PORT,
            secure: own.TENANT_MAIL__SECURE,
            requireTls: own.TENANT_MAIL__REQUIRE_TLS,
            username: own.TENANT_MAIL__USERNAME,
            password: own.TENANT_MAIL__PASSWORD,
            from: own.TENANT_MAIL__FROM,
          }
        : undefined,
    isProduction,
  })
}

function withoutServiceLinks(env: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(env).filter(
      ([name, value]) => value === undefined || !name.startsWith('TENANT_') || !isServiceLink(name, value),
    ),
  )
}

function readServer(
  env: Readonly<Record<string, string | undefined>>,
  own: SettingValues,
  problems: string[],
): ServerAccount | undefined {
  const named = serverSettings.filter((name) => env[name] !== undefined && env[name] !== '')
  if (own.TENANT_DATABASE_URL === undefined) {
    if (named.length === 0) return undefined
    return {
      host: own.TENANT_SUPERUSER_DB__HOSTNAME,
      port: own.TENANT_SUPERUSER_DB__PORT,
      user: own.TENANT_SUPERUSER_DB__USERNAME,
      password: own.TENANT_SUPERUSER_DB__PASSWORD,
      database: own.TENANT_SUPERUSER_DB__NAME,
    }
  }
  if (named.length > 0)
    problems.push(`TENANT_DATABASE_URL and ${named.join(', ')} exclude each other: set one or the other`)
  try {
    return parseDatabaseUrl(own.TENANT_DATABASE_URL)
  } catch (error) {
    problems.push(`TENANT_DATABASE_URL ${error instanceof TenancyError ? error.message : 'cannot be read'}`)
    return undefined
  }
}

function readPooler(
  own: SettingValues,
  server: ServerAccount | undefined,
  problems: string[],
): ServerAddress | undefined {
  if (own.TENANT_POOLER_URL === undefined) return undefined
  if (server === undefined) {
    problems.push('TENANT_POOLER_URL needs the server behind it: set TENANT_DATABASE_URL')
  }
  try {
    const {
      user: _user,
      password: _password,
      database: _database,
      ...address
    } = parseDatabaseUrl(own.TENANT_POOLER_URL, 6432)
    const { username, password, pathname } = new URL(own.TENANT_POOLER_URL)
    if (username !== '' || password !== '' || !/^\/?$/.test(pathname)) {
      problems.push('TENANT_POOLER_URL names host and port only: tenants log in with their own roles and databases')
    }
    return address
  } catch (error) {
    problems.push(`TENANT_POOLER_URL ${error instanceof TenancyError ? error.message : 'cannot be read'}`)
    return undefined
  }
}

function isLocal(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('/') || (isIPv4(host) && host.startsWith('127.'))
}
