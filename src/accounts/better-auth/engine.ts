import type { AuthContext, BetterAuthOptions } from 'better-auth'
import type { AccountsHost } from '../../core/accounts/accounts.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import { userColumns } from '../../core/model.js'
import type { PasswordHasher } from './argon2.js'
import { catalogConnections } from './catalog-connections.js'
import { hashLinkIdentifier } from './link-token.js'
import { passwordLength } from './password-rules.js'

/** The parts of better-auth that accounts use. */
export type Engine = Pick<AuthContext, 'adapter' | 'internalAdapter'>

/** Options of {@link openEngine}. */
export interface EngineOptions {
  readonly host: Pick<AccountsHost, 'config' | 'logger' | 'catalog' | 'deriveKey'>
  readonly passwords: PasswordHasher
}

/**
 * Opens better-auth on the catalog, without HTTP: its handler is not mounted, so its cookies, its origin rules and its limiter
 * never see a request. It sends the catalog nothing before it is used.
 *
 * @throws {@link TenancyError} TENANCY_CONFIG_PEER_MISSING
 */
export async function openEngine({ host, passwords }: EngineOptions): Promise<Engine> {
  const { betterAuth } = await import('better-auth').catch((cause: unknown) => {
    throw new TenancyError(
      'TENANCY_CONFIG_PEER_MISSING',
      'Accounts need the package better-auth: npm install better-auth@1.7.25',
      { cause },
    )
  })
  const { adapter, internalAdapter } = await betterAuth(optionsFor(host, passwords)).$context
  return { adapter, internalAdapter }
}

function optionsFor(host: EngineOptions['host'], passwords: PasswordHasher): BetterAuthOptions {
  const secret = host.deriveKey('better-auth').toString('base64url')
  return {
    ...models,
    database: catalogConnections(host.catalog),
    baseURL: host.config.publicUrl,
    basePath: host.config.authPrefix,
    secret,
    // Without this, BETTER_AUTH_SECRETS of the environment would override `secret`.
    secrets: [{ version: 1, value: secret }],
    emailAndPassword: {
      enabled: true,
      requireEmailVerification: true,
      autoSignIn: false,
      revokeSessionsOnPasswordReset: true,
      minPasswordLength: passwordLength.minimum,
      // The library counts UTF-16 units, of which a character has up to two. The limit is checked before it is asked.
      maxPasswordLength: 2 * passwordLength.maximum,
      password: {
        hash: (password) => passwords.hash(password),
        verify: ({ hash, password }) => passwords.verify(hash, password),
      },
    },
    databaseHooks: {
      // A login is a family of our refresh tokens. A session would be a second kind of login, with a readable token in the
      // table, so none is ever created.
      session: { create: { before: async () => false } },
    },
    advanced: {
      // The catalog's own migrations make the tables, and tests compare them with the models.
      database: { generateId: 'uuid', validateSchema: false },
    },
    // Our limits count per account and per address. The library's would not see our calls, which come without a request.
    rateLimit: { enabled: false },
    // BETTER_AUTH_TELEMETRY of the environment overrides `enabled`; with `debug` nothing is sent even then.
    telemetry: { enabled: false, debug: true },
    logger: { level: 'error', log: forwardTo(host.logger) },
  }
}

const times = { createdAt: userColumns.createdAt.name, updatedAt: userColumns.updatedAt.name } as const

/** The library's models, mapped to the catalog's tables. */
const models = {
  user: {
    modelName: 'users',
    fields: { ...times, emailVerified: userColumns.emailVerified.name },
    additionalFields: {
      disabledAt: { type: 'date', required: false, input: false, fieldName: userColumns.disabledAt.name },
    },
  },
  account: {
    modelName: 'user_credentials',
    fields: {
      ...times,
      userId: 'user_id',
      providerId: 'provider_id',
      accountId: 'account_id',
      accessToken: 'access_token',
      refreshToken: 'refresh_token',
      idToken: 'id_token',
      accessTokenExpiresAt: 'access_token_expires_at',
      refreshTokenExpiresAt: 'refresh_token_expires_at',
    },
  },
  session: {
    modelName: 'user_sessions',
    fields: {
      ...times,
      userId: 'user_id',
      expiresAt: 'expires_at',
      ipAddress: 'ip_address',
      userAgent: 'user_agent',
    },
  },
  verification: {
    modelName: 'user_verifications',
    fields: { ...times, expiresAt: 'expires_at' },
    additionalFields: { userId: { type: 'string', required: true, fieldName: 'user_id' } },
    // 'hashed' does the same; it is explicit because the catalog refuses anything else.
    storeIdentifier: { hash: async (identifier) => hashLinkIdentifier(identifier) },
  },
} as const satisfies BetterAuthOptions

/** Forwards the library's messages without their further arguments, which hold what users sent. */
function forwardTo(logger: Logger): (level: string, message: string) => void {
  return (_level, message) => logger.error({}, `better-auth: ${message}`)
}
