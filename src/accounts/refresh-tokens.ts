import { createHash, createHmac, randomBytes, randomUUID } from 'node:crypto'
import { auditActor } from '../core/audit-actor.js'
import { TenancyError } from '../core/errors/errors.js'
import type { SqlPool, SqlResult } from '../core/sql-client.js'
import { parseTenantRef } from '../core/tenants/slug.js'
import { catalogAnswer } from '../postgres/outages/catalog-outage.js'

/** The result of exchanging a refresh token. */
export interface Rotation {
  readonly userId: string
  /** The successor: the only valid token of the login from now on. */
  readonly refreshToken: string
  /** The user's token epoch at the exchange. */
  readonly epoch: number
  /** Id of the tenant that the session is for; null: none. */
  readonly tenant: string | null
  /** Whether the session was for a tenant that the user is not in any more. It is for none from now on. */
  readonly hasLeft: boolean
  /** Seconds until the login ends. */
  readonly remainingSeconds: number
}

/** What a session shows of the browser or app behind it. */
export interface Device {
  /** The header `User-Agent`, shortened; null: none. */
  readonly userAgent: string | null
  /** The network of the address; null: not known. */
  readonly address: string | null
}

/** How a login is kept. */
export interface LoginOptions {
  /** Whether the token is in a cookie: it is taken from nowhere else then. Default: false. */
  readonly inCookie?: boolean | undefined
  /** Default: nothing is known. */
  readonly device?: Device | undefined
}

/** How a token is exchanged. */
export interface RotateOptions extends LoginOptions {
  /** Id or slug of the tenant that the session is for from now on; `none` (no slug): for none. Default: as before. */
  readonly tenant?: string | undefined
}

/**
 * Refresh tokens (RFC 6749, 1.5; RFC 9700, 4.14): one family for each login, and each token works once. Every method throws
 * TENANCY_CATALOG_UNAVAILABLE when the catalog does not answer.
 */
export interface RefreshTokens {
  /** Lifetime of a login. */
  readonly ttlSeconds: number
  /**
   * Starts a login and returns its first token.
   * @param epoch the user's token epoch, read before the password was checked
   * @throws TENANCY_ACCOUNTS_GRANT_INVALID: the user is disabled or not verified, or was revoked since
   */
  issue(userId: string, epoch: number, options?: LoginOptions): Promise<string>
  /**
   * Exchanges a token for its successor. A token that was exchanged before ends its login and the user's access tokens. Within
   * `graceMs` after the exchange, the token exchanged last is only refused, as a client may have asked twice; from a cookie, it
   * gives the same successor again.
   * @throws TENANCY_ACCOUNTS_GRANT_INVALID; TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_SUSPENDED: the token was not exchanged
   */
  rotate(token: string, options?: RotateOptions): Promise<Rotation>
  /**
   * Reads the user's token epoch of a login whose current token is this one.
   * @throws TENANCY_ACCOUNTS_GRANT_INVALID: the login has ended, or has another current token
   */
  readEpoch(token: string): Promise<number>
  /** Ends the login of a token, current or old, if it is the user's. Ends the user's access tokens in any case. */
  revoke(token: string, userId: string): Promise<void>
  /** Ends the login of a current or the last token, and its user's access tokens. Returns the user; undefined: no such login. */
  revokeByToken(token: string): Promise<string | undefined>
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
  /** Derives the successors of tokens in cookies. Default: random, so that no other process derives the same. */
  readonly key?: Buffer
  /** Called when an old token is used, as it may have been stolen. */
  readonly onReuse?: (userId: string) => void
}

type Outcome = 'rotated' | 'repeated' | 'reused' | 'refused' | 'unknown' | 'no_tenant' | 'suspended'

const unknownDevice: Device = { userAgent: null, address: null }

/** Creates refresh tokens: 48 bytes as base64url, made of the family's id and 256 random bits, stored as SHA-256. */
export function createRefreshTokens(options: RefreshTokensOptions): RefreshTokens {
  const { catalog, ttlSeconds, graceMs = 5000, key = randomBytes(secretLength), onReuse } = options

  function ask<Row extends object>(text: string, values: unknown[]): Promise<SqlResult<Row>> {
    return catalogAnswer(catalog.query<Row>(text, values), 'refresh tokens')
  }

  return {
    ttlSeconds,
    async issue(userId, epoch, { inCookie = false, device = unknownDevice } = {}) {
      const family = randomUUID()
      const secret = randomBytes(secretLength)
      const { rows } = await ask<{ begun: boolean }>(
        'select begin_session($1, $2, $3, $4, make_interval(secs => $5), $6, $7, $8) as begun',
        [family, userId, epoch, hash(secret), ttlSeconds, inCookie, device.userAgent, device.address],
      )
      if (rows[0]?.begun !== true) throw invalidGrant()
      return encodeToken(family, secret)
    },

    async rotate(token, { tenant, inCookie = false, device = unknownDevice } = {}) {
      const held = decodeToken(token)
      if (held === undefined) throw invalidGrant()
      const wanted = tenant === undefined || tenant === 'none' ? undefined : parseTenantRef(tenant)
      if (tenant !== undefined && tenant !== 'none' && wanted === undefined) throw noTenant()
      // Tabs share a cookie: whoever comes second gets the same successor, which nobody without the key can derive.
      const secret = inCookie
        ? createHmac('sha256', key).update(held.family).update(held.secret).digest()
        : randomBytes(secretLength)
      const { rows } = await ask<RotationRow>(
        `select outcome, owner, epoch, bound_to as tenant, has_left as "hasLeft", remaining as "remainingSeconds"
         from rotate_session($1, $2, $3, make_interval(secs => $4), $5, $6, $7, $8, $9, $10)`,
        [
          ...[held.family, hash(held.secret), hash(secret), graceMs / 1000, inCookie, tenant !== undefined],
          wanted?.kind === 'id' ? wanted.value : null,
          wanted?.kind === 'slug' ? wanted.value : null,
          ...[device.userAgent, device.address],
        ],
      )
      const [result] = rows
      if (result?.outcome === 'reused') onReuse?.(result.owner)
      if (result?.outcome === 'no_tenant') throw noTenant()
      if (result?.outcome === 'suspended') throw new TenancyError('TENANCY_TENANT_SUSPENDED')
      if (result?.outcome !== 'rotated') throw invalidGrant()
      const { owner: userId, outcome: _, ...rest } = result
      return { ...rest, userId, refreshToken: encodeToken(held.family, secret) }
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

    async revokeByToken(token) {
      const held = decodeToken(token)
      if (held === undefined) return undefined
      const { rows } = await ask<{ owner: string | null }>('select end_login_of($1, $2) as owner', [
        held.family,
        hash(held.secret),
      ])
      return rows[0]?.owner ?? undefined
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

interface RotationRow extends Omit<Rotation, 'userId' | 'refreshToken'> {
  readonly outcome: Outcome
  readonly owner: string
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

/**
 * The id under which a user sees the session of a token: `session_id()` in the catalog. The family's own id would let others end
 * the session, by presenting it with a wrong secret.
 */
export function sessionIdOf(token: string): string | undefined {
  const held = decodeToken(token)
  if (held === undefined) return undefined
  const hex = hash(Buffer.from(held.family, 'hex')).toString('hex', 0, familyLength)
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** A tenant of others answers as one that does not exist. */
const noTenant = () =>
  new TenancyError('TENANCY_TENANT_NOT_FOUND', 'The user is in no such tenant: check the id or slug')

/** One error for every reason: the holder of an invalid token learns nothing from it. */
function invalidGrant(): TenancyError {
  return new TenancyError('TENANCY_ACCOUNTS_GRANT_INVALID', 'The refresh token is not valid: log in again')
}
