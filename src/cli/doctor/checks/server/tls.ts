import type { ServerAddress } from '../../../../core/tenants/database-target.js'
import { type Check, combine, type Finding, problem, warning } from '../../check.js'
import { isLoopback } from '../machine/secrets.js'

/** Connections to other machines are encrypted, and prove who answers. */
export const tls: Check = {
  name: 'tls',
  run(context) {
    const { server, pooler, isProduction } = context.config()
    return combine(
      [...judge(server, 'TENANT_DATABASE_URL', isProduction), ...judge(pooler, 'TENANT_POOLER_URL', isProduction)],
      server === undefined || isLoopback(server.host)
        ? 'The server is on this machine'
        : 'The connection is encrypted, and the certificate is checked',
    )
  },
}

function judge(address: ServerAddress | undefined, setting: string, isProduction: boolean): Finding[] {
  if (address === undefined || isLoopback(address.host)) return []
  if (address.ssl === undefined || address.ssl === false) {
    return [
      (isProduction ? problem : warning)(
        `${setting}: the connection to ${address.host} is not encrypted, data and all`,
        'Add ?sslmode=verify-full&sslrootcert=system, or the file of your own authority',
      ),
    ]
  }
  if (typeof address.ssl === 'object' && address.ssl['rejectUnauthorized'] === false) {
    return [
      warning(
        `${setting}: sslmode=require checks no certificate: whoever is between reads all`,
        'Use sslmode=verify-full with an sslrootcert',
      ),
    ]
  }
  return []
}
