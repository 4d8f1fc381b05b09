import { hkdfSync } from 'node:crypto'
import type { AccountsHost } from '../core/accounts/accounts.js'
import { TenancyError } from '../core/errors/errors.js'
import type { RequestPipeline } from '../http/pipeline.js'

/** The parts that {@link createAccountsHost} combines. */
export interface AccountsHostParts extends Omit<AccountsHost, 'deriveKey' | 'authenticate'> {
  /** The master secret, 32 bytes. */
  readonly secret: Buffer
  readonly pipeline: Pick<RequestPipeline, 'handle'>
}

/** Makes the part of an installation that providers of accounts use. */
export function createAccountsHost({ secret, pipeline, ...rest }: AccountsHostParts): AccountsHost {
  return {
    ...rest,
    deriveKey: (purpose) => Buffer.from(hkdfSync('sha256', secret, '', `tenants2fast accounts ${purpose}`, 32)),
    async authenticate(authorization) {
      const { user } = await pipeline.handle({
        authorization,
        needs: 'user',
        tenantHeader: undefined,
        host: undefined,
        pathTenant: undefined,
      })
      if (user === undefined) throw new TenancyError('TENANCY_AUTH_REQUIRED')
      return user
    },
  }
}
