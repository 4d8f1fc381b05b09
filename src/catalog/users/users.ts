import { z } from 'zod'
import { type ActorOption, auditActor } from '../../core/audit-actor.js'
import { normalizeEmail } from '../../core/identity/email.js'
import { findTenancyError, TenancyError } from '../../core/errors/errors.js'
import type { UserDirectory, UserRecord } from '../../core/identity/identity.js'
import { isSubject, type IssuerTrust, issuerTenantPlaceholder, readIssuerTenant } from '../../core/identity/issuer.js'
import type { User } from '../../core/model.js'
import { type Logger, stderrLogger } from '../../core/logger.js'
import { createRefusalLog } from '../../core/refusal-log.js'
import { queryRepeated, type SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { queryAudited } from '../../postgres/audited-query.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'
import { actor, parse, schemaOf, userRef } from '../input.js'
import { claimEmail, findOrCreateForeignUser } from './foreign-users.js'
import { type UserChangeInput, userChangeInput, userNotFound } from './user-change.js'
import { eraseUser } from './user-erasure.js'
import { listUsers, type ListUsersOptions } from './user-list.js'
import { updateUser, userName, type UserUpdateInput } from './user-profile.js'
import {
  linkIdentity,
  type LinkIdentityInput,
  linkIdentityInput,
  noIdentity,
  readIdentities,
  unlinkIdentity,
  unlinkIdentityInput,
  type UserIdentities,
} from './user-identities.js'
import { toUserRecord, type UserRow, userList } from './user-row.js'

/** A user to create. */
export interface NewUserInput extends ActorOption {
  /** E-mail address, at most 320 characters; kept in lower case. */
  readonly email: string
  /** One line of at most 200 characters. Default: empty. */
  readonly name?: string | undefined
  /** Whether the address is verified. Requests of a user with an unverified address are refused. Default: false. */
  readonly emailVerified?: boolean | undefined
}

const newUserInput = schemaOf<NewUserInput>()(
  z.strictObject({
    email: z.string('must be text'),
    name: userName.default(''),
    emailVerified: z.boolean().default(false),
    actor,
  }),
)

/**
 * The users of the catalog. The request path finds them; operators and accounts change them. Triggers write every change
 * into the installation's audit log.
 *
 * All throw TENANCY_REQUEST_INVALID for input of the wrong shape.
 */
export interface CatalogUsers extends UserDirectory, UserIdentities {
  findUserById(id: string): Promise<UserRecord | undefined>
  /** Creates a user. @throws TENANCY_ACCOUNTS_EMAIL_INVALID, TENANCY_USER_EXISTS */
  createUser(input: NewUserInput): Promise<UserRecord>
  /** Lists users by e-mail address. */
  listUsers(options?: ListUsersOptions): Promise<User[]>
  /** Finds a user by e-mail address, in any case. */
  findUserByEmail(email: string): Promise<UserRecord | undefined>
  /** Changes name or picture. @throws TENANCY_USER_NOT_FOUND */
  updateUser(input: UserUpdateInput): Promise<UserRecord>
  /** Erases the user. @throws TENANCY_USER_NOT_FOUND, TENANCY_MEMBER_LAST_OWNER */
  deleteUser(input: UserChangeInput): Promise<void>
  /** Disables the user and ends all their tokens permanently. @throws TENANCY_USER_NOT_FOUND */
  disableUser(input: UserChangeInput): Promise<UserRecord>
  /** Enables the user again; they need new tokens. @throws TENANCY_USER_NOT_FOUND */
  enableUser(input: UserChangeInput): Promise<UserRecord>
  /** Ends all tokens issued until now. @throws TENANCY_USER_NOT_FOUND */
  revokeUserTokens(input: UserChangeInput): Promise<UserRecord>
}

/** Options of {@link createUserDirectory}. */
export interface UserDirectoryOptions {
  /** Rights of each foreign issuer. An issuer that is not named has none. Default: no issuer. */
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

  async function change(input: UserChangeInput, assignments: string): Promise<UserRecord> {
    const { user: id, actor: by } = parse(userChangeInput, input)
    const { rows } = isUuid(id)
      ? await answered(
          queryAudited<UserRow>(
            pool,
            `update users set ${assignments} from (${auditActor('$2')}) as acting where id = $1 returning ${userList}`,
            [id, by ?? ''],
          ),
        )
      : { rows: [] }
    const [row] = rows
    if (!row) throw userNotFound(id)
    return toUserRecord(row)
  }

  return {
    // The id comes from a token. Text that is no UUID names no user, and must not become an error of the database.
    findUserById: async (id) => (isUuid(id) ? findOne('where users.id = $1', [id]) : undefined),

    async findUsersById(ids) {
      const { rows } = await answered(
        queryRepeated<UserRow>(pool, `select ${userList} from users where id = any($1::uuid[])`, [ids.filter(isUuid)]),
      )
      const records = new Map(rows.map((row) => [row.id, toUserRecord(row)]))
      return ids.map((id) => records.get(id.toLowerCase()))
    },

    findUserByIdentity: async (issuer, subject) =>
      isSubject(subject) && !/\p{Cc}/u.test(issuer)
        ? findOne('join user_identities on user_id = users.id where issuer = $1 and subject = $2', [issuer, subject])
        : undefined,

    findUserByEmail: async (email) => {
      const address = normalizeEmail(parse(z.string('must be text'), email, 'email'))
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

    async createUser(input) {
      const { email, name, emailVerified, actor: by } = parse(newUserInput, input)
      const address = normalizeEmail(email)
      if (address === undefined) {
        throw new TenancyError('TENANCY_ACCOUNTS_EMAIL_INVALID', `${JSON.stringify(email)} is no e-mail address`)
      }
      const { rows } = await answered(
        queryAudited<UserRow>(
          pool,
          `insert into users (email, name, email_verified)
           select $1::text, $2::text, $3::boolean from (${auditActor('$4')}) as acting
           on conflict (lower(email)) do nothing returning ${userList}`,
          [address, name, emailVerified, by ?? ''],
        ),
      )
      const [row] = rows
      if (!row) throw new TenancyError('TENANCY_USER_EXISTS', `There is a user with the e-mail address ${address}`)
      return toUserRecord(row)
    },

    listUsers: async (page = {}) => answered(listUsers(pool, page)),

    listIdentities: async (user) => answered(readIdentities(pool, parse(userRef, user, 'user'))),

    async linkIdentity(input) {
      const link = parse(linkIdentityInput, input)
      requireUsable(link, [...trusts.keys()])
      return answered(linkIdentity(pool, link))
    },

    async unlinkIdentity(input) {
      const link = parse(unlinkIdentityInput, input)
      if (!isSubject(link.subject)) throw noIdentity(link)
      return answered(unlinkIdentity(pool, link))
    },

    updateUser: async (input) => answered(updateUser(pool, input)),
    deleteUser: async (input) => answered(eraseUser(pool, input)),

    disableUser: (input) => change(input, `disabled_at = coalesce(disabled_at, now()), ${revoked}`),
    enableUser: (input) => change(input, 'disabled_at = null'),
    revokeUserTokens: (input) => change(input, revoked),
  }
}

/** Refuses a link that no token can use: the mistake would show much later. */
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

const answered = <Answer>(answer: Promise<Answer>) => catalogAnswer(answer, 'users')
