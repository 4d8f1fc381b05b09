import { z } from 'zod'
import { extensionNames } from './extension-names.js'
import { flag, integer, optionalInteger, type Setting, text } from './setting-schemas.js'

/** `parseDatabaseUrl` reads the part after the protocol, and names its problems. */
const databaseUrl = z
  .string()
  .regex(/^postgres(?:ql)?:\/\//i, 'must be a URL that starts with postgres:// or postgresql://')

/** Settings of servers, tenant databases and connections. */
export const databaseSettings = {
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
      'Folder of the migrations that make up every tenant’s schema: numbered SQL files (`0001_name.sql`), or a folder of drizzle-kit, Prisma or Kysely. Its kind is detected.',
    schema: text(4096).optional(),
  },
  TENANT_EXTENSIONS: {
    description:
      'Extensions of every tenant database, separated by commas: `citext,pg_trgm`. The administrator creates them, in the schema `public`, before the schema files run; those that PostgreSQL does not trust take a superuser. Removing a name drops nothing.',
    schema: z
      .string()
      .transform((names) => names.split(',').map((name) => name.trim()))
      .pipe(extensionNames)
      .default([]),
  },
  TENANT_SEED_DIR: {
    description:
      'Folder of SQL files that `fleet.seed` runs for tenants: `*.sql` always, `dev/*.sql` and `prod/*.sql` for their profile.',
    schema: text(4096).optional(),
  },
  TENANT_SCHEMA_BEHIND: {
    description:
      'How to treat a tenant that lacks schema files of this process when it is used: `migrate` applies them first, `refuse` answers 503 until they are applied, `serve` serves it as it is, down to `minimumSchema`, and logs that. Default: `serve` with `NODE_ENV=production`, otherwise `migrate`.',
    schema: z.enum(['migrate', 'refuse', 'serve'], 'must be migrate, refuse or serve').optional(),
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
  TENANT_SLUG_ALIAS_DAYS: {
    description:
      'Days for which the old slug of a renamed tenant still names it, and no other tenant may take it. 0: neither.',
    schema: integer(0, 3650, 90),
  },
  TENANT_SWAPPED_DAYS: {
    description:
      'Days that the database which a restore has replaced is kept: `swapBack` gives it to the tenant again.',
    schema: integer(0, 3650, 7),
  },
  TENANT_PG_BIN_DIR: {
    description: 'Folder of `pg_dump` and `pg_restore`, for backups. Default: those in the path.',
    schema: text(4096).optional(),
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
      'Milliseconds between two checks, counted over all processes, of what tenants use of the server’s lock table and NOTIFY queue; 0: nothing is watched. See docs/isolation.md.',
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
} as const satisfies Record<string, Setting>
