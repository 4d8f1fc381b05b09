import { z } from 'zod'
import { auditActor } from '../../core/audit-actor.js'
import { normalizeEmail } from '../../core/identity/email.js'
import { findTenancyError, isTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { UserDirectory, UserRecord } from '../../core/identity/identity.js'
import { isSubject, type IssuerTrust, issuerTenantPlaceholder, readIssuerTenant } from '../../core/identity/issuer.js'
import { type Logger, stderrLogger } from '../../core/logger.js'
import { createRefusalLog } from '../../core/refusal-log.js'
import { readRepeated, type SqlPool } from '../../core/sql-client.js'
import { isPlainLine } from '../../core/text.js'
import { isUuid } from '../../core/uuid.js'
import { actor as actorSchema, parse } from '../change.js'
import { claimEmail, findOrCreateForeignUser } from './foreign-users.js'
import type { ActorOption } from '../tenants/tenants.js'
import {
  linkIdentity,
  type LinkIdentityInput,
  noIdentity,
  readIdentities,
  unlinkIdentity,
  type UserIdentities,
} from './user-identities.js'
import { toUserRecord, type UserRow, userList } from './user-row.js'

/** A user to create. */
export interface NewUser {
  readonly email: string
  readonly name?: string | undefined
  /** Whether the address is known to be the user's. Users without are refused. Default: false. */
  readonly emailVerified?: boolean | undefined
}

/**
 * The users of the catalog: found by the request path, changed by operators and accounts. Every change is in the
 * installation's audit log, by triggers. An actor that is no id of a user: TENANCY_REQUEST_INVALID.
 */
export interface CatalogUsers extends UserDirectory, UserIdentities {
  findUserById(id: string): Promise<UserRecord | undefined>
  /**
   * E-mail addresses are kept in lower case; a name is one line of at most 200 characters.
   * @throws TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_USER_EXISTS, TENANCY_REQUEST_INVALID (the name)
   */
  createUser(user: NewUser, options?: ActorOption): Promise<UserRecord>
  /** Finds by e-mail address, in any case. */
  findUserByEmail(email: string): Promise<UserRecord | undefined>
  /** Refuses the user from now on, and ends all tokens for good. @throws TENANCY_USER_NOT_FOUND */
  disableUser(id: string, options?: ActorOption): Promise<UserRecord>
  /** Lets the user in again, with new tokens. @throws TENANCY_USER_NOT_FOUND */
  enableUser(id: string, options?: ActorOption): Promise<UserRecord>
  /** Ends all tokens issued until now. @throws TENANCY_USER_NOT_FOUND */
  revokeUserTokens(id: string, options?: ActorOption): Promise<UserRecord>
}

/** Options of {@link createUserDirectory}. */
export interface UserDirectoryOptions {
  /** What each foreign issuer may do; one that is not named may do nothing. Default: none. */
  readonly issuers?: readonly IssuerTrust[]
  readonly logger?: Logger
}

const revoked = 'token_epoch = token_epoch + 1, tokens_valid_after = now()'

/**
 * The catalog's tables `users` and `user_identities`.
 *
 * Every method throws {@link TenancyError} TENANCY_CATALOG_UNAVAILABLE when the catalog does not answer.
 */
export function createUserDirectory(pool: SqlPool, options: UserDirectoryOptions = {}): CatalogUsers {
  const logRefusal = createRefusalLog(options.logger ?? stderrLogger)
  const trusts = new Map((options.issuers ?? []).map((trust) => [trust.issuer, trust]))

  async function findOne(condition: string, values: readonly string[]): Promise<UserRecord | undefined> {
    const { rows } = await answered(pool.query<UserRow>(`select ${userList} from users ${condition}`, [...values]))
    return rows[0] && toUserRecord(rows[0])
  }

  async function change(id: string, assignments: string, by: ActorOption = {}): Promise<UserRecord> {
    const actor = parseActor(by)
    const { rows } = isUuid(id)
      ? await answered(
          pool.query<UserRow>(
            `update users set ${assignments} from (${auditActor('$2')}) as acting where id = $1 returning ${userList}`,
            [id, actor],
          ),
        )
      : { rows: [] }
    const [row] = rows
    if (!row) throw new TenancyError('TENANCY_USER_NOT_FOUND', `No user ${JSON.stringify(id)}: check the id`)
    return toUserRecord(row)
  }

  return {
    // An id comes from a token: text that is no UUID names nobody, and is no error of the database.
    findUserById: async (id) => (isUuid(id) ? findOne('where users.id = $1', [id]) : undefined),

    async findUsersById(ids) {
      const { rows } = await answered(
        readRepeated<UserRow>(pool, `select ${userList} from users where id = any($1::uuid[])`, [ids.filter(isUuid)]),
      )
      const records = new Map(rows.map((row) => [row.id, toUserRecord(row)]))
      return ids.map((id) => records.get(id.toLowerCase()))
    },

    findUserByIdentity: async (issuer, subject) =>
      isSubject(subject) && !/\p{Cc}/u.test(issuer)
        ? findOne('join user_identities on user_id = users.id where issuer = $1 and subject = $2', [issuer, subject])
        : undefined,

    findUserByEmail: async (email) => {
      const address = normalizeEmail(email)
      return address === undefined ? undefined : findOne('where lower(email) = lower($1)', [address])
    },

    async createUserFromToken(token) {
      const issuer = token.configuredIssuer ?? token.issuer
      const trust = trusts.get(issuer)
      if (token.isOwn) return undefined
      if (!(trust?.createUsers || trust?.linkByVerifiedEmail)) {
        const help = 'its subject is no user; set "createUsers" in TENANT_OIDC_ISSUERS, or call tenancy.linkIdentity'
        logRefusal({ check: 'unknown subject', issuer, help })
        return undefined
      }
      try {
        return await answered(findOrCreateForeignUser(pool, trust, token, claimEmail(token, trust)))
      } catch (error) {
        const refusal = findTenancyError(error, 'TENANCY_AUTH_USER_REFUSED')
        if (refusal) logRefusal({ check: 'user', issuer, help: refusal.message })
        throw error
      }
    },

    async createUser({ email, name = '', emailVerified = false }, by = {}) {
      const actor = parseActor(by)
      const address = normalizeEmail(email)
      if (address === undefined) {
        throw new TenancyError('TENANCY_ACCOUNTS_EMAIL_INVALID', `${JSON.stringify(email)} is no e-mail address`)
      }
      parse(nameSchema, name)
      const { rows } = await answered(
        pool.query<UserRow>(
          `insert into users (email, name, email_verified)
           select $1::text, $2::text, $3::boolean from (${auditActor('$4')}) as acting
           on conflict (lower(email)) do nothing returning ${userList}`,
          [address, name, emailVerified, actor],
        ),
      )
      const [row] = rows
      if (!row) throw new TenancyError('TENANCY_USER_EXISTS', `There is a user with the e-mail address ${address}`)
      return toUserRecord(row)
    },

    listIdentities: (user) => answered(readIdentities(pool, user)),

    async linkIdentity(input) {
      const actor = parseActor(input)
      requireUsable(input, [...trusts.keys()])
      return answered(linkIdentity(pool, input, actor))
    },

    async unlinkIdentity(input) {
      const actor = parseActor(input)
      if (!isSubject(input.subject)) throw noIdentity(input)
      return answered(unlinkIdentity(pool, input, actor))
    },

    disableUser: (id, by) => change(id, `disabled_at = coalesce(disabled_at, now()), ${revoked}`, by),
    enableUser: (id, by) => change(id, 'disabled_at = null', by),
    revokeUserTokens: (id, by) => change(id, revoked, by),
  }
}

/** A link that no token can use is a mistake, and would show much later. */
function requireUsable({ issuer, subject }: LinkIdentityInput, configured: readonly string[]): void {
  const isConfigured = configured.some((name) => name === issuer || readIssuerTenant(name, issuer) !== undefined)
  if (!isConfigured || issuer.includes(issuerTenantPlaceholder)) {
    throw new TenancyError(
      'TENANCY_REQUEST_INVALID',
      `Issuer ${JSON.stringify(issuer)} is not in TENANT_OIDC_ISSUERS (compared exactly, up to a slash at the end)`,
    )
  }
  if (!isSubject(subject)) {
    throw new TenancyError('TENANCY_REQUEST_INVALID', 'The subject of an identity is 1 to 255 characters')
  }
}

const nameSchema = z
  .string('name must be text')
  .max(200, 'name must have at most 200 characters')
  .refine(isPlainLine, 'name must not hold control characters or half of a surrogate pair')

/** The actor's id, or empty. */
function parseActor({ actor }: ActorOption): string {
  return parse(actorSchema, actor) ?? ''
}

async function answered<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    if (isTenancyError(error)) throw error
    throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog did not answer a question about users', {
      cause: error,
    })
  }
}
