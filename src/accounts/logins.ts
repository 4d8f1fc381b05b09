import { decodeJwt } from 'jose'
import type { AccountProvider, AccountsHost } from '../core/accounts/accounts.js'
import { normalizeEmail } from '../core/identity/email.js'
import { isTenancyError, TenancyError } from '../core/errors/errors.js'
import { catalogAnswer } from '../postgres/outages/catalog-outage.js'
import {
  type LoginOptions,
  type RefreshTokens,
  type RotateOptions,
  type Rotation,
  sessionIdOf,
} from './refresh-tokens.js'

/** The answer to a login or refresh (RFC 6749, 5.1). */
export interface TokenAnswer {
  readonly access_token: string
  readonly token_type: 'bearer'
  /** Seconds. */
  readonly expires_in: number
  readonly refresh_token: string
  /** Id of the tenant that the session is for; null: of none any more, as the user is not in it. Left out: of none. */
  readonly tenant?: string | null
}

/** A login that has begun or goes on. */
export interface Login extends TokenAnswer {
  /** Seconds until the login ends. */
  readonly remainingSeconds: number
}

/** Starts, refreshes and ends logins. */
export interface Logins {
  /** @throws TENANCY_ACCOUNTS_CREDENTIALS_INVALID */
  begin(email: string, password: string, options?: LoginOptions): Promise<Login>
  /** @throws TENANCY_ACCOUNTS_GRANT_INVALID, TENANCY_TENANT_NOT_FOUND, TENANCY_TENANT_SUSPENDED */
  refresh(refreshToken: string, options?: RotateOptions): Promise<Login>
  /**
   * Ends the login that the refresh token belongs to. Without a refresh token it ends every login of the user, as nothing else
   * names one. The user's access tokens end in any case.
   */
  end(userId: string, refreshToken: string | undefined): Promise<void>
  /** Ends the login of a refresh token, or every login of its user; nothing for a token of no login. */
  endByToken(refreshToken: string, options: { readonly everywhere: boolean }): Promise<void>
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

  type Held = Pick<Rotation, 'userId' | 'epoch' | 'refreshToken' | 'tenant' | 'hasLeft' | 'remainingSeconds'>

  async function answer(held: Held, isRefresh: boolean): Promise<Login> {
    const { userId, epoch, refreshToken, tenant } = held
    const { token, expiresIn } = await host.issueAccessToken({
      user: userId,
      isRefresh,
      tenant: tenant ?? undefined,
      session: sessionIdOf(refreshToken),
    })
    const issued = decodeJwt(token)['epoch']
    // The epoch was raised after the refresh token was made. This throws if its login was ended, too.
    if (issued !== epoch) {
      const current = await refreshTokens.readEpoch(refreshToken)
      if (issued !== current) return answer({ ...held, epoch: current }, isRefresh)
    }
    // This process's cache of the user may be older than the token, which would then be refused.
    host.forgetUser(userId)
    return {
      ...{ access_token: token, token_type: 'bearer', expires_in: expiresIn, refresh_token: refreshToken },
      ...(tenant !== null || held.hasLeft ? { tenant } : {}),
      remainingSeconds: held.remainingSeconds,
    }
  }

  return {
    async begin(email, password, options) {
      const found = await findEpoch(email)
      const userId = await provider.checkPassword(email, password)
      if (found?.id !== userId) throw new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID')
      const epoch = found.token_epoch
      try {
        const refreshToken = await refreshTokens.issue(userId, epoch, options)
        const remainingSeconds = refreshTokens.ttlSeconds
        return await answer({ userId, epoch, refreshToken, tenant: null, hasLeft: false, remainingSeconds }, false)
      } catch (error) {
        if (!isTenancyError(error, 'TENANCY_ACCOUNTS_GRANT_INVALID')) throw error
        throw new TenancyError('TENANCY_ACCOUNTS_CREDENTIALS_INVALID', undefined, { cause: error })
      }
    },

    async refresh(refreshToken, options) {
      return answer(await refreshTokens.rotate(refreshToken, options), true)
    },

    async end(userId, refreshToken) {
      if (refreshToken === undefined) await refreshTokens.revokeAll(userId)
      else await refreshTokens.revoke(refreshToken, userId)
      host.forgetUser(userId)
    },

    async endByToken(refreshToken, { everywhere }) {
      const userId = await refreshTokens.revokeByToken(refreshToken)
      if (userId === undefined) return
      if (everywhere) await refreshTokens.revokeAll(userId)
      host.forgetUser(userId)
    },
  }
}
