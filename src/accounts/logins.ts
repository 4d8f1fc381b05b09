import { decodeJwt } from 'jose'
import type { AccountProvider, AccountsHost } from '../core/accounts/accounts.js'
import { normalizeEmail } from '../core/identity/email.js'
import { isTenancyError, TenancyError } from '../core/errors/errors.js'
import type { RefreshTokens } from './refresh-tokens.js'

/** Tokens as RFC 6749, 5.1 answers them. */
export interface TokenAnswer {
  readonly access_token: string
  readonly token_type: 'bearer'
  /** Seconds. */
  readonly expires_in: number
  readonly refresh_token: string
}

/** Logins: a password becomes tokens, tokens become newer ones, and both end at once. */
export interface Logins {
  /** @throws TENANCY_ACCOUNTS_CREDENTIALS_INVALID */
  begin(email: string, password: string): Promise<TokenAnswer>
  /** @throws TENANCY_ACCOUNTS_GRANT_INVALID */
  refresh(refreshToken: string): Promise<TokenAnswer>
  /**
   * Ends the login that the refresh token belongs to; without one, every login of the user, for nothing else says which
   * login ends. The user's access tokens end in any case.
   */
  end(userId: string, refreshToken: string | undefined): Promise<void>
}

/** What {@link createLogins} is put together from. */
export interface LoginsParts {
  readonly host: Pick<AccountsHost, 'catalog' | 'issueAccessToken' | 'forgetUser'>
  readonly provider: Pick<AccountProvider, 'checkPassword'>
  readonly refreshTokens: RefreshTokens
}

/** Puts logins together. A revocation that happens meanwhile wins: what it should have ended is not given out. */
export function createLogins({ host, provider, refreshTokens }: LoginsParts): Logins {
  /** Who has the address, and the token epoch from before the password is checked. */
  async function findEpoch(email: string): Promise<{ readonly id: string; readonly token_epoch: number } | undefined> {
    try {
      const { rows } = await host.catalog.query<{ id: string; token_epoch: number }>(
        'select id, token_epoch from users where lower(email) = lower($1)',
        [normalizeEmail(email)],
      )
      return rows[0]
    } catch (cause) {
      throw new TenancyError('TENANCY_CATALOG_UNAVAILABLE', 'The catalog did not answer a question about users', {
        cause,
      })
    }
  }

  async function answer(userId: string, epoch: number, refreshToken: string, isRefresh: boolean): Promise<TokenAnswer> {
    const { token, expiresIn } = await host.issueAccessToken({ user: userId, isRefresh })
    const issued = decodeJwt(token)['epoch']
    // The epoch went up since the refresh token was made. If its login was among what ended, this throws.
    if (issued !== epoch) {
      const current = await refreshTokens.readEpoch(refreshToken)
      if (issued !== current) return answer(userId, current, refreshToken, isRefresh)
    }
    // What this process remembers of the user may be older than the token, which would then be refused.
    host.forgetUser(userId)
    return { access_token: token, token_type: 'bearer', expires_in: expiresIn, refresh_token: refreshToken }
  }

  return {
    async begin(email, password) {
      const found = await findEpoch(email)
      const userId = await provider.checkPassword(email, password)
      if (found?.id !== userId) throw new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID')
      try {
        return await answer(userId, found.token_epoch, await refreshTokens.issue(userId, found.token_epoch), false)
      } catch (error) {
        if (!isTenancyError(error, 'TENANCY_ACCOUNTS_GRANT_INVALID')) throw error
        throw new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID', undefined, { cause: error })
      }
    },

    async refresh(refreshToken) {
      const rotation = await refreshTokens.rotate(refreshToken)
      return answer(rotation.userId, rotation.epoch, rotation.refreshToken, true)
    },

    async end(userId, refreshToken) {
      if (refreshToken === undefined) await refreshTokens.revokeAll(userId)
      else await refreshTokens.revoke(refreshToken, userId)
      host.forgetUser(userId)
    },
  }
}
