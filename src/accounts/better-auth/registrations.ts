import type { SqlPool } from '../../core/sql-client.js'
import { answered } from './catalog-answer.js'
import { createLinkToken, hashLinkToken, isLinkToken } from './link-token.js'

/** The contents of a registration besides its address. A stranger may have written them. */
export interface RegistrationFacts {
  readonly name: string
  /** The hash of the password that came with it. */
  readonly password: string | undefined
}

/**
 * Registrations that nobody has confirmed yet. They are not users, and one address can have many. Every method throws
 * TENANCY_CATALOG_UNAVAILABLE.
 */
export interface Registrations {
  /** Stores a registration for a day and returns its link's token. Runs the same statement for any address. */
  begin(email: string, facts: RegistrationFacts): Promise<string>
  /** Finds the newest registration of an address. */
  findNewest(email: string): Promise<RegistrationFacts | undefined>
  find(token: string): Promise<RegistrationFacts | undefined>
  /**
   * Uses up the link: creates the user, or completes one whose address nobody has proven, and sets the password. Earlier
   * passwords, identities and logins of the account end. Returns the user's id; undefined: the link is not, or no longer, valid.
   */
  confirm(token: string, password: string, name: string | undefined): Promise<string | undefined>
  /** Deletes a registration for which no mail will be sent. */
  drop(token: string): Promise<void>
}

/** A day, because people do not read their mail at once. */
export const registrationTtlSeconds = 86_400

const purpose = 'verify-email'

/** Creates the registrations, stored in the catalog's `user_registrations`. */
export function createRegistrations(catalog: SqlPool): Registrations {
  async function readOne(condition: string, value: string): Promise<RegistrationFacts | undefined> {
    const { rows } = await answered(
      catalog.query<{ readonly name: string; readonly password: string | null }>(
        `select name, password from user_registrations where ${condition}`,
        [value],
      ),
    )
    return rows[0] && { name: rows[0].name, password: rows[0].password ?? undefined }
  }

  return {
    async begin(email, { name, password }) {
      const token = createLinkToken()
      await answered(
        catalog.query('select begin_registration($1, $2, $3, $4, make_interval(secs => $5))', [
          hashLinkToken(purpose, token),
          email,
          name,
          password ?? null,
          registrationTtlSeconds,
        ]),
      )
      return token
    },

    findNewest: (email) => readOne('email = $1 and expires_at > now() order by created_at desc limit 1', email),

    async find(token) {
      if (!isLinkToken(token)) return undefined
      return readOne('token_hash = $1 and expires_at > now()', hashLinkToken(purpose, token))
    },

    async confirm(token, password, name) {
      const { rows } = await answered(
        catalog.query<{ id: string | null }>('select confirm_registration($1, $2, $3) as id', [
          hashLinkToken(purpose, token),
          password,
          name ?? null,
        ]),
      )
      return rows[0]?.id ?? undefined
    },

    async drop(token) {
      await answered(
        catalog.query('delete from user_registrations where token_hash = $1', [hashLinkToken(purpose, token)]),
      )
    },
  }
}
