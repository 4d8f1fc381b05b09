import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { auditActor } from '../core/audit-actor.js'
import { TenancyError } from '../core/errors/errors.js'
import type { SqlPool, SqlResult } from '../core/sql-client.js'
import { catalogAnswer } from '../postgres/catalog-outage.js'

/** The result of exchanging a refresh token. */
export interface Rotation {
  readonly userId: string
  /** The successor: the only valid token of the login from now on. */
  readonly refreshToken: string
  /** The user's token epoch at the exchange. */
  readonly epoch: number
}

/**
 * Refresh tokens (RFC 6749, 1.5; RFC 9700, 4.14): one family for each login, and each token works once. Every method throws
 * TENANCY_CATALOG_UNAVAILABLE when the catalog does not answer.
 */
export interface RefreshTokens {
  /**
   * Starts a login and returns its first token.
   * @param epoch the user's token epoch, read before the password was checked
   * @throws TENANCY_ACCOUNTS_GRANT_INVALID: the user is disabled or not verified, or was revoked since
   */
  issue(userId: string, epoch: number): Promise<string>
  /**
   * Exchanges a token for its successor. A token that was exchanged before ends its login and the user's access tokens. Within
   * `graceMs` after the exchange, the token exchanged last is only refused, as a client may have asked twice.
   * @throws TENANCY_ACCOUNTS_GRANT_INVALID
   */
  rotate(token: string): Promise<Rotation>
  /**
   * Reads the user's token epoch of a login whose current token is this one.
   * @throws TENANCY_ACCOUNTS_GRANT_INVALID: the login has ended, or has another current token
   */
  readEpoch(token: string): Promise<number>
  /** Ends the login of a token, current or old, if it is the user's. Ends the user's access tokens in any case. */
  revoke(token: string, userId: string): Promise<void>
  /** Ends every login and token of the user. The audit log shows the user as the actor. */
  revokeAll(userId: string): Promise<void>
}

/** Options of {@link createRefreshTokens}. */
export interface RefreshTokensOptions {
  readonly catalog: SqlPool
  /** Lifetime of a login, up to the end of its last token. */
  readonly ttlSeconds: number
  /** Default: 5000. */
  readonly graceMs?: number
  /** Called when an old token is used, as it may have been stolen. */
  readonly onReuse?: (userId: string) => void
}

type Outcome = 'rotated' | 'repeated' | 'reused' | 'refused' | 'unknown'

/** Creates refresh tokens: 48 bytes as base64url, made of the family's id and 256 random bits, stored as SHA-256. */
export function createRefreshTokens(options: RefreshTokensOptions): RefreshTokens {
  const { catalog, ttlSeconds, graceMs = 5000, onReuse } = options

  function ask<Row extends object>(text: string, values: unknown[]): Promise<SqlResult<Row>> {
    return catalogAnswer(catalog.query<Row>(text, values), 'refresh tokens')
  }

  return {
    async issue(userId, epoch) {
      const family = randomUUID()
      const secret = randomBytes(secretLength)
      const { rows } = await ask<{ begun: boolean }>(
        'select begin_login($1, $2, $3, $4, make_interval(secs => $5)) as begun',
        [family, userId, epoch, hash(secret), ttlSeconds],
      )
      if (rows[0]?.begun !== true) throw invalidGrant()
      return encodeToken(family, secret)
    },

    async rotate(token) {
      const held = decodeToken(token)
      if (held === undefined) throw invalidGrant()
      const secret = randomBytes(secretLength)
      const { rows } = await ask<{ outcome: Outcome; owner: string; epoch: number }>(
        'select outcome, owner, epoch from rotate_refresh_token($1, $2, $3, make_interval(secs => $4))',
        [held.family, hash(held.secret), hash(secret), graceMs / 1000],
      )
      const [result] = rows
      if (result?.outcome === 'reused') onReuse?.(result.owner)
      if (result?.outcome !== 'rotated') throw invalidGrant()
      return { userId: result.owner, refreshToken: encodeToken(held.family, secret), epoch: result.epoch }
    },

    async readEpoch(token) {
      const held = decodeToken(token)
      const { rows } = await ask<{ token_epoch: number }>(
        `select token_epoch from users join refresh_families on user_id = users.id
          where refresh_families.id = $1 and token_hash = $2 and disabled_at is null and email_verified`,
        [held?.family, held && hash(held.secret)],
      )
      if (!rows[0]) throw invalidGrant()
      return rows[0].token_epoch
    },

    async revoke(token, userId) {
      await ask('select end_login($1, $2)', [userId, decodeToken(token)?.family])
    },

    async revokeAll(userId) {
      // A trigger deletes the families in the same statement.
      await ask(
        `update users set token_epoch = token_epoch + 1, tokens_valid_after = now()
           from (${auditActor('$2')}) as acting where id = $1`,
        [userId, userId],
      )
    },
  }
}

const familyLength = 16
const secretLength = 32

function encodeToken(family: string, secret: Buffer): string {
  return Buffer.concat([Buffer.from(family.replaceAll('-', ''), 'hex'), secret]).toString('base64url')
}

function decodeToken(token: string): { readonly family: string; readonly secret: Buffer } | undefined {
  const bytes = Buffer.from(token, 'base64url')
  // Encoding again reveals what decoding ignores, so that a token has one text.
  if (bytes.length !== familyLength + secretLength || bytes.toString('base64url') !== token) return undefined
  return { family: bytes.toString('hex', 0, familyLength), secret: bytes.subarray(familyLength) }
}

function hash(secret: Buffer): Buffer {
  return createHash('sha256').update(secret).digest()
}

/** One error for every reason: the holder of an invalid token learns nothing from it. */
function invalidGrant(): TenancyError {
  return new TenancyError('TENANCY_ACCOUNTS_GRANT_INVALID', 'The refresh token is not valid: log in again')
}
