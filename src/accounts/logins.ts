import { decodeJwt } from 'jose'
import type { AccountProvider, AccountsHost } from '../core/accounts/accounts.js'
import { normalizeEmail } from '../core/identity/email.js'
import { isTenancyError, TenancyError } from '../core/errors/errors.js'
import { catalogAnswer } from '../postgres/catalog-outage.js'
import type { RefreshTokens } from './refresh-tokens.js'

/** The answer to a login or refresh (RFC 6749, 5.1). */
export interface TokenAnswer {
  readonly access_token: string
  readonly token_type: 'bearer'
  /** Seconds. */
  readonly expires_in: number
  readonly refresh_token: string
}

/** Starts, refreshes and ends logins. */
export interface Logins {
  /** @throws TENANCY_ACCOUNTS_CREDENTIALS_INVALID */
  begin(email: string, password: string): Promise<TokenAnswer>
  /** @throws TENANCY_ACCOUNTS_GRANT_INVALID */
  refresh(refreshToken: string): Promise<TokenAnswer>
  /**
   * Ends the login that the refresh token belongs to. Without a refresh token it ends every login of the user, as nothing else
   * names one. The user's access tokens end in any case.
   */
  end(userId: string, refreshToken: string | undefined): Promise<void>
}

/** The parts that {@link createLogins} needs. */
export interface LoginsParts {
  readonly host: Pick<AccountsHost, 'catalog' | 'issueAccessToken' | 'forgetUser'>
  readonly provider: Pick<AccountProvider, 'checkPassword'>
  readonly refreshTokens: RefreshTokens
}

/** Creates logins. A simultaneous revocation takes precedence: tokens that it should end are not given out. */
export function createLogins({ host, provider, refreshTokens }: LoginsParts): Logins {
  /** Finds the user with the address, and the token epoch before the password is checked. */
  async function findEpoch(email: string): Promise<{ readonly id: string; readonly token_epoch: number } | undefined> {
    const found = host.catalog.query<{ id: string; token_epoch: number }>(
      'select id, token_epoch from users where lower(email) = lower($1)',
      [normalizeEmail(email)],
    )
    return (await catalogAnswer(found, 'users')).rows[0]
  }

  async function answer(userId: string, epoch: number, refreshToken: string, isRefresh: boolean): Promise<TokenAnswer> {
    const { token, expiresIn } = await host.issueAccessToken({ user: userId, isRefresh })
    const issued = decodeJwt(token)['epoch']
    // The epoch was raised after the refresh token was made. This throws if its login was ended, too.
    if (issued !== epoch) {
      const current = await refreshTokens.readEpoch(refreshToken)
      if (issued !== current) return answer(userId, current, refreshToken, isRefresh)
    }
    // This process's cache of the user may be older than the token, which would then be refused.
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
