import { z } from 'zod'
import { accountLimitChanges } from '../accounts/account-limits.js'
import { parseAddressRange, unixSocketRange } from '../address-range.js'

/** One documented setting: its schema turns the text of the environment into a value. */
export interface Setting {
  /** What it does, in one line: docs/config.md repeats it. */
  readonly description: string
  readonly schema: z.ZodType
  /** Whether its value may never be shown. */
  readonly isSecret?: boolean
}

const integer = (minimum: number, maximum: number, fallback: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(minimum, `must be at least ${minimum}`).max(maximum, `must be at most ${maximum}`))
    .default(fallback)

const optionalInteger = (minimum: number, maximum: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(minimum, `must be at least ${minimum}`).max(maximum, `must be at most ${maximum}`))
    .optional()

const flag = (fallback: boolean) =>
  z
    .enum(['true', 'false'], 'must be true or false')
    .transform((text) => text === 'true')
    .default(fallback)

const text = (maximumLength = 255) => z.string().min(1, 'must not be empty').max(maximumLength, 'is too long')

const urlWith = (protocols: readonly string[]) =>
  z.string().refine(
    (value) => {
      try {
        return protocols.includes(new URL(value).protocol)
      } catch {
        return false
      }
    },
    `must be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  )

/** What stands behind the protocol is read, and its problems named, by `parseDatabaseUrl`. */
const databaseUrl = z
  .string()
  .regex(/^postgres(?:ql)?:\/\//i, 'must be a URL that starts with postgres:// or postgresql://')

const list = z.string().transform((value) =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
)

const addressRanges = list.superRefine((ranges, context) => {
  for (const range of ranges) {
    if (range !== unixSocketRange && parseAddressRange(range) === undefined) {
      context.addIssue(`has ${JSON.stringify(range)}, which is no IP address or CIDR range, or one of all addresses`)
    }
  }
})

const pathPrefix = z
  .string()
  .regex(/^\/[a-z0-9][a-z0-9/_-]*[a-z0-9]$/, 'must be a path such as /auth, without a slash at the end')

const claimPath = z.union([text(200), z.array(text(200)).min(1).max(10)])
const claimValue = z.union([text(1000), z.number(), z.boolean()])
const oneOrMore = <Item extends z.ZodType>(item: Item) => z.union([item, z.array(item).min(1)])

// What each field means, and which go together, is said and checked where tokens are (src/core/identity/issuer.ts, src/identity).
const oidcIssuer = z.strictObject({
  issuer: urlWith(['https:', 'http:']),
  issuerTenants: z.union([z.literal('any'), z.array(text()).min(1)]).optional(),
  audience: oneOrMore(text()),
  audienceClaim: z.enum(['aud', 'client_id', 'azp']).default('aud'),
  jwksUri: urlWith(['https:', 'http:']).optional(),
  allowPrivateNetwork: z.boolean().default(false),
  algorithm: oneOrMore(
    z.enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']),
  ).default('RS256'),
  typ: oneOrMore(text(40).nullable()).default('at+jwt'),
  requiredClaims: z.record(text(200), oneOrMore(claimValue)).optional(),
  subjectClaim: text(200).default('sub'),
  tenantClaim: claimPath.optional(),
  tenantClaimType: z.enum(['string', 'array', 'object']).optional(),
  tenantClaimEmpty: z.enum(['refuse', 'unbound']).optional(),
  requireTenant: z.boolean().optional(),
  tenantMap: z.record(text(1000), text(40)).optional(),
  maxTokenBytes: z.number().int().min(1024).max(65_536).default(8192),
  clockToleranceSeconds: z.number().min(0).max(120).default(5),
  createUsers: z.boolean().default(false),
  linkByVerifiedEmail: z.boolean().default(false),
  requireVerifiedEmail: z.boolean().default(true),
  emailClaim: claimPath.optional(),
  emailVerified: z.enum(['claim', 'trusted', 'never']).default('claim'),
  emailVerifiedClaim: claimPath.optional(),
  emailVerifiedValues: z.array(claimValue).min(1).optional(),
})

const oidcIssuers = z
  .string()
  .transform((value, context) => {
    try {
      return JSON.parse(value) as unknown
    } catch {
      context.addIssue('must be a JSON array')
      return z.NEVER
    }
  })
  .pipe(z.array(oidcIssuer))

/** Every variable that this package reads, and nothing else. Key: the variable's name. */
export const settings = {
  // Databases
  TENANT_DB_PREFIX: {
    description: 'Prefix of tenant databases and their roles.',
    schema: z
      .string()
      .regex(/^[a-z][a-z0-9_]{0,22}$/, 'must be 1 to 23 characters of a-z, 0-9 and _, a letter first')
      .default('tenant_'),
  },
  TENANT_SUPERUSER_DB__HOSTNAME: {
    description: 'Host of the PostgreSQL server that holds catalog and tenant databases.',
    schema: text().default('localhost'),
  },
  TENANT_SUPERUSER_DB__PORT: { description: 'Its port.', schema: integer(1, 65_535, 5432) },
  TENANT_SUPERUSER_DB__USERNAME: {
    description: 'Account that may create databases and roles.',
    schema: text(63).default('postgres'),
  },
  TENANT_SUPERUSER_DB__PASSWORD: {
    description: 'Its password.',
    schema: z.string().max(1024).default('postgres'),
    isSecret: true,
  },
  TENANT_SUPERUSER_DB__NAME: {
    description: 'Database to connect to for work on the server as a whole.',
    schema: text(63).default('postgres'),
  },
  TENANT_DATABASE_URL: {
    description:
      'Short form of the five above: `postgres://user:password@host:port/database`, with parameters for TLS: see “PostgreSQL over TLS”. Not together with them.',
    schema: databaseUrl.optional(),
    isSecret: true,
  },
  TENANT_CATALOG_DB: {
    description: 'Name of the catalog database.',
    schema: z
      .string()
      .regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be 1 to 63 characters of a-z, 0-9 and _, a letter first')
      .default('tenants2fast'),
  },
  TENANT_DATA_DIR: {
    description: 'Folder of the embedded PostgreSQL, used when no server is configured.',
    schema: text(4096).default('.tenants2fast'),
  },
  TENANT_SCHEMA_DIR: {
    description:
      'Folder of numbered SQL files (`0001_name.sql`, or `20240101120000_name/migration.sql`) that make up every tenant’s schema.',
    schema: text(4096).optional(),
  },
  TENANT_SCHEMA_BEHIND: {
    description:
      'What becomes of a request for a tenant whose schema is older than this process demands: `migrate` applies the missing files first, `refuse` answers 503 until somebody did.',
    schema: z.enum(['migrate', 'refuse'], 'must be migrate or refuse').default('migrate'),
  },
  TENANT_SCHEMA_LOCK_TIMEOUT_MS: {
    description:
      'Longest wait of a schema file’s statement for a lock, in milliseconds: whoever comes behind it waits as long. The file is then rolled back and tried again, 8 times.',
    schema: integer(10, 600_000, 2000),
  },
  TENANT_READY_DATABASES: {
    description: 'Ready databases kept in stock, so that creating a tenant waits for no DDL.',
    schema: integer(0, 1000, 3),
  },
  TENANT_RETENTION_DAYS: {
    description: 'Days that a deleted tenant can be brought back; then its database is dropped and its slug is free.',
    schema: integer(0, 3650, 30),
  },
  TENANT_MAX_TENANT_CONNECTIONS: {
    description: 'Most connections to one tenant’s database.',
    schema: integer(1, 1000, 5),
  },
  TENANT_MAX_CONNECTIONS: {
    description: 'Most connections to all tenant databases, of one process and server.',
    schema: integer(1, 10_000, 20),
  },
  TENANT_PROCESSES: {
    description:
      'Processes of this installation that run at a time, those that overlap during a deployment included: together they have to fit the server’s `max_connections`. The default is one, and its successor while it is replaced.',
    schema: integer(1, 1000, 2),
  },
  TENANT_TEMP_FILE_LIMIT_MB: {
    description:
      'Most temporary files, in megabytes, of one session in a tenant’s database (`temp_file_limit`); 0: no limit. Takes a superuser; migrations are not bound by it.',
    schema: integer(0, 2_000_000, 4096),
  },
  TENANT_HARDENED: {
    description:
      '`true`: tenants cannot call advisory locks, `pg_notify`, large objects and `pg_logical_emit_message`. Takes a superuser; existing tenants with their next `initializeTenantSchema`. See docs/isolation.md.',
    schema: flag(false),
  },
  TENANT_WATCH_INTERVAL_MS: {
    description:
      'Milliseconds between two looks, of all processes together, at what tenants use of the server’s lock table and NOTIFY queue; 0: nothing is watched. See docs/isolation.md.',
    schema: integer(0, 60_000, 1000),
  },
  TENANT_MAX_TENANT_LOCKS: {
    description:
      'Entries of the server’s lock table that the sessions of one tenant may take; above, they are ended. Default: a quarter of `max_locks_per_transaction` × (`max_connections` + `max_prepared_transactions`).',
    schema: optionalInteger(16, 100_000_000),
  },
  TENANT_MAX_QUEUE_PERCENT: {
    description:
      'Percentage of the server’s NOTIFY queue in use from which on the session of a tenant that it waits for is ended; PostgreSQL names it from 50 on.',
    schema: integer(1, 100, 50),
  },
  TENANT_POOLER_URL: {
    description:
      'PgBouncer in front of the server, for tenant traffic alone: `postgres://host:port`. What a pooler can’t do goes to the server directly: see docs/scaling.md.',
    schema: databaseUrl.optional(),
  },
  TENANT_PREPARE_STATEMENTS: {
    description:
      'Prepare parameterised statements that repeat. `false` for queries whose best plan depends on their values; behind a pooler nothing is prepared in any case.',
    schema: flag(true),
  },
  TENANT_SECRET: {
    description:
      'Master secret, 256 bits as 64 hex digits or 43 base64url characters (`openssl rand -hex 32`). Required in production and for servers that are not on this machine.',
    schema: z
      .string()
      .regex(
        /^([0-9a-fA-F]{64}|[A-Za-z0-9_-]{43})$/,
        'must be 64 hex digits or 43 base64url characters (openssl rand -hex 32)',
      )
      .optional(),
    isSecret: true,
  },

  // Requests
  TENANT_URL_PREFIX: {
    description: 'First path segment under which a tenant is named in a URL: `/tenants/{tenant}/…`.',
    schema: z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]*$/, 'must be one path segment of a-z, 0-9, _ and -')
      .default('tenants'),
  },
  TENANT_BASE_DOMAIN: {
    description: 'Domain whose subdomains name tenants: with `example.com`, `acme.example.com` asks for `acme`.',
    schema: z
      .string()
      .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/, 'must be a domain name in lower case')
      .optional(),
  },
  TENANT_REQUIRE_NAMED_TENANT: {
    description:
      'Whoever is a member of several tenants has to name one in each request: their default tenant is not used. Who has one membership is served as before.',
    schema: flag(false),
  },
  TENANT_MAX_STALENESS_MS: {
    description:
      'Longest time, in milliseconds, that a cached user, membership or permission may be out of date; 0: never.',
    schema: integer(0, 60_000, 2000),
  },
  TENANT_CHANGES_BY: {
    description:
      'How a process hears of changes in the catalog: `listen` (LISTEN; by itself `poll` where a pooler stands before the catalog) or `poll` (four queries in `TENANT_MAX_STALENESS_MS`).',
    schema: z.enum(['listen', 'poll'], 'must be listen or poll').default('listen'),
  },
  TENANT_REDIS_URL: {
    description: 'Redis that processes share as a cache.',
    schema: urlWith(['redis:', 'rediss:']).optional(),
    isSecret: true,
  },
  TENANT_REDIS_TTL: { description: 'Seconds that an entry stays in Redis.', schema: integer(1, 86_400, 300) },
  TENANT_SEED_PROFILE: {
    description:
      'Which of the shipped seeds fills roles and permissions: `dev` (with demo routes) or `prod`. Default: `prod` in production, else `dev`.',
    schema: z.enum(['dev', 'prod'], 'must be dev or prod').optional(),
  },
  TENANT_TRUSTED_PROXIES: {
    description:
      'Addresses or CIDR ranges, separated by commas, whose `X-Forwarded-For` is believed; `unix:` stands for connections through a Unix socket.',
    schema: addressRanges.default([]),
  },

  // Tokens
  TENANT_TOKEN_ISSUER: {
    description: 'Issuer (`iss`) of our own access tokens.',
    schema: text().default('tenants2fast'),
  },
  TENANT_TOKEN_AUDIENCE: {
    description: 'Audience (`aud`) of our own access tokens.',
    schema: text().default('tenants2fast'),
  },
  TENANT_TOKEN_TTL: { description: 'Seconds that an access token is valid.', schema: integer(1, 900, 900) },
  TENANT_REFRESH_TTL: {
    description: 'Seconds after a login until its last refresh token ends.',
    schema: integer(60, 31_536_000, 2_592_000),
  },
  TENANT_OIDC_ISSUERS: {
    description:
      'Other issuers whose tokens are accepted: a JSON array of `{ "issuer", "audience", … }`. docs/identity.md has the fields, and the configuration for nine providers.',
    schema: oidcIssuers.default([]),
  },

  // Accounts and mail
  TENANT_AUTH_PREFIX: { description: 'Path under which accounts are served.', schema: pathPrefix.default('/auth') },
  TENANT_PUBLIC_URL: {
    description: 'Address at which users reach this service; links in mails start with it.',
    schema: urlWith(['https:', 'http:']).default('http://localhost:3000'),
  },
  TENANT_ACCOUNTS_LIMITS: {
    description:
      'Limits of accounts that differ from the defaults, as JSON: `{"register":{"perAddress":{"count":500,"windowSeconds":3600}}}`. docs/identity.md has all of them.',
    schema: accountLimitChanges.default({}),
  },
  TENANT_MAIL__HOST: {
    description: 'SMTP server. Without one, development logs the links and production refuses to start accounts.',
    schema: text().optional(),
  },
  TENANT_MAIL__PORT: { description: 'Its port.', schema: integer(1, 65_535, 587) },
  TENANT_MAIL__SECURE: {
    description: '`true`: TLS from the first byte (port 465). `false`: STARTTLS.',
    schema: flag(false),
  },
  TENANT_MAIL__REQUIRE_TLS: {
    description: 'Refuse to send over a connection that is not encrypted.',
    schema: flag(true),
  },
  TENANT_MAIL__USERNAME: { description: 'SMTP account.', schema: text().optional() },
  TENANT_MAIL__PASSWORD: { description: 'Its password.', schema: text(1024).optional(), isSecret: true },
  TENANT_MAIL__FROM: {
    description: 'Sender of mails, such as `Acme <no-reply@acme.example>`.',
    schema: text(320).optional(),
  },
} as const satisfies Record<string, Setting>

/** The name of a setting. */
export type SettingName = keyof typeof settings

/** What the schemas make of the environment. */
export type SettingValues = { readonly [Name in SettingName]: z.output<(typeof settings)[Name]['schema']> }
