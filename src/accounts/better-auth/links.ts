import type { Config } from '../../core/config/config.js'
import type { User } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { answered } from './catalog-answer.js'
import type { Engine } from './engine.js'
import { createLinkToken, hashLinkToken, isLinkToken } from './link-token.js'

/** Links to set a new password, sent by mail. Their tokens are kept as hashes; each is good for an hour and for one use. */
export interface ResetLinks {
  /** The token of a fresh link for a user. */
  create(user: Pick<User, 'id'>): Promise<string>
  /** The id of the user whom a link was sent to; undefined when it is not, or no longer, good. */
  find(token: string): Promise<string | undefined>
  /**
   * Uses up the link and sets the password (a hash), in one transaction. The link was sent to the address, so it is proven
   * as well. The user's id; undefined: the link is not, or no longer, good.
   */
  use(token: string, password: string): Promise<string | undefined>
}

const resetTtlSeconds = 3600

// Where the library's own reset looks for it.
const purpose = 'reset-password'

/** Reset links of an installation, in the library's verification values. */
export function createResetLinks({ internalAdapter }: Pick<Engine, 'internalAdapter'>, catalog: SqlPool): ResetLinks {
  return {
    async create(user) {
      const token = createLinkToken()
      // Not a column that the library knows by itself: through it a link goes when its user goes.
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

/** The address of a page of accounts with a token, as it stands in a mail. */
export function linkTo(
  { publicUrl, authPrefix }: Pick<Config, 'publicUrl' | 'authPrefix'>,
  page: 'verify-email' | 'password/reset',
  token: string,
): string {
  return `${publicUrl}${authPrefix}/${page}?token=${token}`
}
