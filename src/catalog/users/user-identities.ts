import { z } from 'zod'
import { type ActorOption, auditActor } from '../../core/audit-actor.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { UserIdentity } from '../../core/identity/identity.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { actor, schemaOf, userRef } from '../input.js'
import { inOrder, inTransaction } from '../transaction.js'

/** Issuer and subject: the identity of a user at a foreign issuer. */
export interface IdentityKey {
  /** As in the claim `iss`, compared exactly. */
  readonly issuer: string
  /** As in the claim that names the subject: 1 to 255 characters. */
  readonly subject: string
}

/** An identity to link to a user. */
export interface LinkIdentityInput extends IdentityKey, ActorOption {
  /** Id of the user whom tokens of this identity authenticate. */
  readonly user: string
}

/** An identity to unlink from a user. */
export interface UnlinkIdentityInput extends LinkIdentityInput {
  /** Allows unlinking the user's last credential: the user then has no password and no other identity. Default: false. */
  readonly allowLast?: boolean | undefined
}

const identityKey = { issuer: z.string(), subject: z.string() }
/** Checks an {@link IdentityKey}. */
export const identityKeyInput = schemaOf<IdentityKey>()(z.strictObject(identityKey))
const link = { ...identityKey, user: userRef, actor }
/** Checks a {@link LinkIdentityInput}. */
export const linkIdentityInput = schemaOf<LinkIdentityInput>()(z.strictObject(link))
/** Checks an {@link UnlinkIdentityInput}. */
export const unlinkIdentityInput = schemaOf<UnlinkIdentityInput>()(
  z.strictObject({ ...link, allowLast: z.boolean().optional() }),
)

/**
 * The foreign identities of users. Every change is in the installation's audit log (`user.identity.link` and
 * `user.identity.unlink`), by triggers.
 */
export interface UserIdentities {
  /** Lists a user's identities, the oldest first. @throws TENANCY_USER_NOT_FOUND, TENANCY_REQUEST_INVALID (not text) */
  listIdentities(user: string): Promise<UserIdentity[]>
  /**
   * Links this identity to the user. Nothing changes if it is linked already. The caller must be sure that both are the
   * same person: from now on, tokens of that identity authenticate the user.
   * @throws TENANCY_USER_NOT_FOUND, TENANCY_IDENTITY_TAKEN, TENANCY_REQUEST_INVALID (an issuer that is not configured, or
   * a subject that no token can have)
   */
  linkIdentity(input: LinkIdentityInput): Promise<UserIdentity>
  /**
   * Unlinks this identity permanently: its issuer does not link it again by itself, nor create a user for it.
   * @throws TENANCY_USER_NOT_FOUND, TENANCY_IDENTITY_NOT_FOUND, TENANCY_IDENTITY_LAST, TENANCY_REQUEST_INVALID
   */
  unlinkIdentity(input: UnlinkIdentityInput): Promise<void>
}

interface IdentityRow {
  readonly issuer: string
  readonly subject: string
  readonly user_id: string
  readonly created_at: Date
}

const columns = 'issuer, subject, user_id, created_at'

/** Locks an identity until the end of the transaction: its first requests, links and unlinks run one after the other. */
export async function lockIdentity(client: SqlClient, { issuer, subject }: IdentityKey): Promise<void> {
  await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
    JSON.stringify(['user_identities', issuer, subject]),
  ])
}

/** Links an identity that no user has to the user. */
export async function insertIdentity(
  client: SqlClient,
  { issuer, subject }: IdentityKey,
  user: string,
): Promise<UserIdentity> {
  const { rows } = await client.query<IdentityRow>(
    `insert into user_identities (issuer, subject, user_id) values ($1, $2, $3) returning ${columns}`,
    [issuer, subject, user],
  )
  return toIdentity(rows[0] as IdentityRow)
}

/** Tells whether an identity was unlinked and has not been linked again since. */
export async function isUnlinked(client: SqlClient, { issuer, subject }: IdentityKey): Promise<boolean> {
  const { rows } = await client.query('select 1 from unlinked_identities where issuer = $1 and subject = $2', [
    issuer,
    subject,
  ])
  return rows.length > 0
}

/** Lists the identities of a user, the oldest first. @throws {@link TenancyError} TENANCY_USER_NOT_FOUND */
export async function readIdentities(pool: Pick<SqlPool, 'query'>, user: string): Promise<UserIdentity[]> {
  const { rows } = isUuid(user)
    ? await pool.query<IdentityRow>(
        `select issuer, subject, user_id, user_identities.created_at from users left join user_identities
           on user_id = users.id where users.id = $1 order by user_identities.created_at, issuer, subject`,
        [user],
      )
    : { rows: [] }
  if (rows.length === 0) throw noUser(user)
  return rows.filter((row) => row.user_id !== null).map(toIdentity)
}

/** See {@link UserIdentities.linkIdentity}. */
export async function linkIdentity(pool: SqlPool, input: LinkIdentityInput): Promise<UserIdentity> {
  return inTransaction(pool, async (client) => {
    const [, , , found] = await inOrder([
      client.query(auditActor('$1'), [input.actor ?? '']),
      lockIdentity(client, input),
      lockUser(client, input.user),
      findIdentity(client, input),
    ])
    if (found === undefined) {
      const [linked] = await inOrder([insertIdentity(client, input, input.user), client.commit()])
      return linked
    }
    if (found.user_id === input.user.toLowerCase()) return toIdentity(found)
    throw new TenancyError(
      'TENANCY_IDENTITY_TAKEN',
      `The subject ${JSON.stringify(input.subject)} of issuer ${input.issuer} is another user: unlink it there first`,
    )
  })
}

/** See {@link UserIdentities.unlinkIdentity}. */
export async function unlinkIdentity(pool: SqlPool, input: UnlinkIdentityInput): Promise<void> {
  await inTransaction(pool, async (client) => {
    await inOrder([
      client.query(auditActor('$1'), [input.actor ?? '']),
      lockIdentity(client, input),
      // Two calls that unlink the last two identities run one after the other.
      lockUser(client, input.user),
    ])
    const [{ rowCount }, hasOther] = await inOrder([
      client.query('delete from user_identities where issuer = $1 and subject = $2 and user_id = $3', [
        input.issuer,
        input.subject,
        input.user,
      ]),
      hasWayIn(client, input.user),
    ])
    if (rowCount === 0) {
      throw noIdentity(input)
    }
    if (input.allowLast !== true && !hasOther) {
      throw new TenancyError(
        'TENANCY_IDENTITY_LAST',
        'The user would have no password and no other identity left: link another one first, or say allowLast: true',
      )
    }
  })
}

async function findIdentity(client: SqlClient, { issuer, subject }: IdentityKey): Promise<IdentityRow | undefined> {
  const { rows } = await client.query<IdentityRow>(
    `select ${columns} from user_identities where issuer = $1 and subject = $2`,
    [issuer, subject],
  )
  return rows[0]
}

async function hasWayIn(client: SqlClient, user: string): Promise<boolean> {
  const { rows } = await client.query(
    `select 1 from user_identities where user_id = $1
     union all select 1 from user_credentials where user_id = $1 and password is not null limit 1`,
    [user],
  )
  return rows.length > 0
}

async function lockUser(client: SqlClient, user: string): Promise<void> {
  const { rows } = isUuid(user)
    ? await client.query('select 1 from users where id = $1 for no key update', [user])
    : { rows: [] }
  if (rows.length === 0) throw noUser(user)
}

/** Creates the error for an identity that the user does not have. */
export function noIdentity({ issuer, subject }: IdentityKey): TenancyError {
  return new TenancyError(
    'TENANCY_IDENTITY_NOT_FOUND',
    `The user has no identity ${JSON.stringify(subject)} of issuer ${JSON.stringify(issuer)}: see listIdentities`,
  )
}

function noUser(user: string): TenancyError {
  return new TenancyError('TENANCY_USER_NOT_FOUND', `No user ${JSON.stringify(user)}: check the id`)
}

function toIdentity({ issuer, subject, created_at: createdAt }: IdentityRow): UserIdentity {
  return { issuer, subject, createdAt }
}
