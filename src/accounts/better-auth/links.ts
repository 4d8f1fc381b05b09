import type { Config } from '../../core/config/config.js'
import type { User } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { answered } from './catalog-answer.js'
import type { Engine } from './engine.js'
import { createLinkToken, hashLinkToken, isLinkToken } from './link-token.js'

/** Links to set a new password, sent by mail. Their tokens are stored as hashes; each works once, within an hour. */
export interface ResetLinks {
  /** Creates a link for a user and returns its token. */
  create(user: Pick<User, 'id'>): Promise<string>
  /** Finds the id of the user to whom a link was sent; undefined if the link is not, or no longer, valid. */
  find(token: string): Promise<string | undefined>
  /**
   * Uses up the link and sets the password (a hash), in one transaction. As the link was sent to the address, this also proves
   * the address. Returns the user's id; undefined: the link is not, or no longer, valid.
   */
  use(token: string, password: string): Promise<string | undefined>
}

const resetTtlSeconds = 3600

// The library's own reset uses this name as well.
const purpose = 'reset-password'

/** Creates the reset links of an installation, stored in the library's verification values. */
export function createResetLinks({ internalAdapter }: Pick<Engine, 'internalAdapter'>, catalog: SqlPool): ResetLinks {
  return {
    async create(user) {
      const token = createLinkToken()
      // Our own column: through it, a link is deleted with its user.
      const owner = { userId: user.id }
      await answered(
        internalAdapter.createVerificationValue({
          ...owner,
          identifier: `${purpose}:${token}`,
          value: user.id,
          expiresAt: new Date(Date.now() + resetTtlSeconds * 1000),
        }),
      )
      return token
    },

    async find(token) {
      if (!isLinkToken(token)) return undefined
      const link = await answered(internalAdapter.findVerificationValue(`${purpose}:${token}`))
      return link && link.expiresAt > new Date() ? link.value : undefined
    },

    async use(token, password) {
      const { rows } = await answered(
        catalog.query<{ id: string | null }>('select reset_password($1, $2) as id', [
          hashLinkToken(purpose, token),
          password,
        ]),
      )
      return rows[0]?.id ?? undefined
    },
  }
}

/** Builds the address of a page of accounts with a token, for a mail. */
export function linkTo(
  { publicUrl, authPrefix }: Pick<Config, 'publicUrl' | 'authPrefix'>,
  page: 'verify-email' | 'password/reset' | 'email/confirm' | 'email/stop',
  token: string,
): string {
  return `${publicUrl}${authPrefix}/${page}?token=${token}`
}
