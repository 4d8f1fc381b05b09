import { normalizeEmail } from '../core/email.js'
import { TenancyError } from '../core/errors.js'
import type { IssuerTrust, UserRecord, VerifiedToken } from '../core/identity.js'
import type { SqlClient, SqlPool } from '../core/sql.js'
import { inTransaction } from './transaction.js'
import { toUserRecord, type UserRow, userColumns } from './user-row.js'

/**
 * The verified e-mail address that a foreign token claims.
 * @throws {@link TenancyError} TENANCY_AUTH_USER_REFUSED: there is none, or it is not verified
 */
export function claimEmail({ claims, issuer }: VerifiedToken): string {
  const { email, email_verified: isVerified } = claims
  const address = typeof email === 'string' ? normalizeEmail(email) : undefined
  if (address === undefined) {
    throw new TenancyError(
      'TENANCY_AUTH_USER_REFUSED',
      `The tokens of issuer ${issuer} carry no usable claim "email": let it add the claim, or create the user first`,
    )
  }
  if (isVerified !== true) {
    throw new TenancyError(
      'TENANCY_AUTH_USER_REFUSED',
      `Issuer ${issuer} does not say that the e-mail address is verified (claim "email_verified")`,
    )
  }
  return address
}

/**
 * Finds, links or creates the user of a foreign identity, in one transaction.
 * @throws {@link TenancyError} TENANCY_AUTH_USER_REFUSED: the address belongs to an account that may not be linked
 */
export async function findOrCreateForeignUser(
  pool: SqlPool,
  trust: IssuerTrust,
  token: VerifiedToken,
  email: string,
): Promise<UserRecord | undefined> {
  return inTransaction(pool, async (client) => {
    // First sights of one identity come one after the other, whatever address each token carries.
    await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
      JSON.stringify(['user_identities', token.issuer, token.subject]),
    ])
    const row =
      (await findByIdentity(client, token)) ??
      (await insertUser(client, trust, token, email)) ??
      (await linkUser(client, trust, token, email))
    return row && toUserRecord(row)
  })
}

async function findByIdentity(client: SqlClient, { issuer, subject }: VerifiedToken): Promise<UserRow | undefined> {
  const { rows } = await client.query<UserRow>(
    `select ${userColumns} from users join user_identities on user_id = users.id where issuer = $1 and subject = $2`,
    [issuer, subject],
  )
  return rows[0]
}

async function insertUser(
  client: SqlClient,
  trust: IssuerTrust,
  token: VerifiedToken,
  email: string,
): Promise<UserRow | undefined> {
  if (!trust.createUsers) return undefined
  const { rows } = await client.query<UserRow>(
    `insert into users (email, name, email_verified) values ($1, $2, true)
     on conflict (lower(email)) do nothing returning ${userColumns}`,
    [email, claimName(token)],
  )
  if (rows[0]) await insertIdentity(client, token, rows[0].id)
  return rows[0]
}

async function linkUser(
  client: SqlClient,
  trust: IssuerTrust,
  token: VerifiedToken,
  email: string,
): Promise<UserRow | undefined> {
  const { rows } = await client.query<UserRow>(
    `select ${userColumns} from users where lower(email) = lower($1) for update`,
    [email],
  )
  const [row] = rows
  if (!row) return undefined
  const linked = normalizeEmail(row.email) === email ? await provenUser(client, trust, token, row) : undefined
  if (linked === undefined) {
    throw new TenancyError(
      'TENANCY_AUTH_USER_REFUSED',
      `The e-mail address that issuer ${trust.issuer} gives belongs to an account that may not be linked to it`,
    )
  }
  await insertIdentity(client, token, row.id)
  return linked
}

/**
 * The account of the address, if the issuer may link it. One whose address nobody had proven may have been made by somebody
 * else, in wait for this user: what it has from before ends. An issuer that may only create users takes over such an account
 * as well when there is nothing in it, or whoever made it would keep the owner out.
 */
async function provenUser(
  client: SqlClient,
  trust: IssuerTrust,
  token: VerifiedToken,
  row: UserRow,
): Promise<UserRow | undefined> {
  if (row.email_verified) return trust.linkByVerifiedEmail ? row : undefined
  if (row.disabled_at !== null || !(trust.linkByVerifiedEmail || (await isEmpty(client, row.id)))) return undefined
  await client.query('select prove_address($1)', [row.id])
  const { rows } = await client.query<UserRow>(
    `update users set name = coalesce(nullif($2, ''), name) where id = $1 returning ${userColumns}`,
    [row.id, claimName(token)],
  )
  return rows[0]
}

async function isEmpty(client: SqlClient, userId: string): Promise<boolean> {
  const { rows } = await client.query<{ readonly is_empty: boolean }>(
    `select not exists (select from user_tenants where user_id = $1)
        and not exists (select from user_identities where user_id = $1) as is_empty`,
    [userId],
  )
  return rows[0]?.is_empty === true
}

async function insertIdentity(client: SqlClient, { issuer, subject }: VerifiedToken, userId: string): Promise<void> {
  await client.query('insert into user_identities (issuer, subject, user_id) values ($1, $2, $3)', [
    issuer,
    subject,
    userId,
  ])
}

function claimName({ claims }: VerifiedToken): string {
  const { name } = claims
  return typeof name === 'string'
    ? Array.from(name.replaceAll(/[\p{Cc}\p{Cs}]/gu, ''))
        .slice(0, 200)
        .join('')
    : ''
}
