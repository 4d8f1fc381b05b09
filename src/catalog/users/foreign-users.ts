import { normalizeEmail, placeholderDomain } from '../../core/identity/email.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { UserRecord, VerifiedToken } from '../../core/identity/identity.js'
import { type ClaimPath, type ClaimValue, type IssuerTrust, readClaim } from '../../core/identity/issuer.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { inTransaction } from '../transaction.js'
import { insertIdentity, isUnlinked, lockIdentity } from './user-identities.js'
import { cleanLine, shownPartOf } from '../../core/shown-line.js'
import { toUserRecord, type UserRow, userList } from './user-row.js'

/**
 * Reads the verified e-mail address that a foreign token claims. Returns undefined if the token has none and its issuer is
 * trusted for identity alone.
 * @throws {@link TenancyError} TENANCY_AUTH_USER_REFUSED: the address is missing or not verified
 */
export function claimEmail({ claims, issuer }: VerifiedToken, trust: IssuerTrust): string | undefined {
  const { emailClaim = 'email', requireVerifiedEmail = true } = trust
  const email = readClaim(claims, emailClaim)
  const address = typeof email === 'string' ? normalizeEmail(email) : undefined
  if (address !== undefined && isVerified(claims, trust)) return address
  if (!requireVerifiedEmail) return undefined
  throw new TenancyError(
    'TENANCY_AUTH_USER_REFUSED',
    address === undefined
      ? `The tokens of issuer ${issuer} carry no usable claim "${nameOf(emailClaim)}": let it add the claim, set "emailClaim" or ` +
          '"requireVerifiedEmail": false in TENANT_OIDC_ISSUERS, or create the user first'
      : `Issuer ${issuer} does not say that the e-mail address is verified (claim "${nameOf(trust.emailVerifiedClaim ?? 'email_verified')}"): ` +
          'set "emailVerifiedClaim", "emailVerifiedValues" or "emailVerified" in TENANT_OIDC_ISSUERS if it says so in another way',
  )
}

function isVerified(claims: VerifiedToken['claims'], trust: IssuerTrust): boolean {
  const { emailVerified = 'claim', emailVerifiedClaim = 'email_verified', emailVerifiedValues = [true] } = trust
  if (emailVerified === 'never') return false
  const value = readClaim(claims, emailVerifiedClaim)
  if (value === undefined) return emailVerified === 'trusted'
  return emailVerifiedValues.includes(value as ClaimValue)
}

function nameOf(path: ClaimPath): string {
  return typeof path === 'string' ? path : path.join('.')
}

/**
 * Finds, links or creates the user of a foreign identity, in one transaction.
 * @param email the verified address; undefined: the token has none, and its issuer is trusted for identity alone
 * @throws {@link TenancyError} TENANCY_AUTH_USER_REFUSED: the address belongs to an account that may not be linked, or the
 * identity was unlinked
 */
export async function findOrCreateForeignUser(
  pool: SqlPool,
  trust: IssuerTrust,
  token: VerifiedToken,
  email: string | undefined,
): Promise<UserRecord | undefined> {
  return inTransaction(pool, async (client) => {
    // First requests with one identity run one after the other, whatever address each token contains.
    await lockIdentity(client, token)
    const known = await findByIdentity(client, token)
    if (known !== undefined) return toUserRecord(known)
    if (await isUnlinked(client, token)) {
      throw new TenancyError(
        'TENANCY_AUTH_USER_REFUSED',
        `An identity of issuer ${token.issuer} was unlinked from its user: tenancy.linkIdentity brings it back`,
      )
    }
    const row =
      email === undefined
        ? await insertNameless(client, trust, token)
        : ((await insertUser(client, trust, token, email)) ?? (await linkUser(client, trust, token, email)))
    return row && toUserRecord(row)
  })
}

async function findByIdentity(client: SqlClient, { issuer, subject }: VerifiedToken): Promise<UserRow | undefined> {
  const { rows } = await client.query<UserRow>(
    `select ${userList} from users join user_identities on user_id = users.id where issuer = $1 and subject = $2`,
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
     on conflict (lower(email)) do nothing returning ${userList}`,
    [email, claimName(token)],
  )
  if (rows[0]) await insertIdentity(client, token, rows[0].id)
  return rows[0]
}

/**
 * Creates a user whose issuer is trusted for identity alone. The address is a placeholder that is not verified. Nobody can
 * guess it or receive mail at it (RFC 2606), so it blocks no other user.
 */
async function insertNameless(
  client: SqlClient,
  trust: IssuerTrust,
  token: VerifiedToken,
): Promise<UserRow | undefined> {
  if (!trust.createUsers) return undefined
  const { rows } = await client.query<UserRow>(
    `insert into users (email, name, email_verified) values (gen_random_uuid() || '@${placeholderDomain}', $1, false)
     returning ${userList}`,
    [claimName(token)],
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
    `select ${userList} from users where lower(email) = lower($1) for update`,
    [email],
  )
  const [row] = rows
  if (!row) return undefined
  const linked = normalizeEmail(row.email) === email ? await provenUser(client, trust, token, row) : undefined
  if (linked === undefined) {
    if (trust.requireVerifiedEmail === false) return insertNameless(client, trust, token)
    throw new TenancyError(
      'TENANCY_AUTH_USER_REFUSED',
      `The e-mail address that issuer ${trust.issuer} gives belongs to an account that may not be linked to it`,
    )
  }
  await insertIdentity(client, token, row.id)
  return linked
}

/**
 * Finds the account of the address, if the issuer may link it. An account whose address was never verified may have been
 * registered by somebody else to trap this user, so its earlier credentials, logins and tokens end. An issuer that may
 * only create users takes over such an account as well if it is empty; otherwise anyone could block the owner of an address
 * by registering it.
 */
async function provenUser(
  client: SqlClient,
  trust: IssuerTrust,
  token: VerifiedToken,
  row: UserRow,
): Promise<UserRow | undefined> {
  if (row.emailVerified) return trust.linkByVerifiedEmail ? row : undefined
  if (row.disabledAt !== null || !(trust.linkByVerifiedEmail || (await isEmpty(client, row.id)))) return undefined
  await client.query('select prove_address($1)', [row.id])
  const { rows } = await client.query<UserRow>(
    `update users set name = coalesce(nullif($2, ''), name) where id = $1 returning ${userList}`,
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

function claimName({ claims }: VerifiedToken): string {
  const { name } = claims
  return typeof name === 'string' ? cleanLine(Array.from(shownPartOf(name)).slice(0, 200).join('')) : ''
}
