import { createTenantDatabaseRecords } from '../../../../catalog/tenants/tenant-databases.js'
import { reportTrust } from '../../../../composition/opening/report-trust.js'
import type { Logger } from '../../../../core/logger.js'
import { type Check, ok, problem, skipped, warning } from '../../check.js'

/** The server lets nobody in with a wrong password. */
export const trust: Check = {
  name: 'trust',
  async run(context) {
    const { server, catalogDatabase, isProduction } = context.config()
    if (server === undefined) return skipped('The embedded server’s pg_hba.conf is made by tenants2fast')
    const { account } = await context.server()
    const catalog = await context.catalog().catch(() => undefined)
    let said: string | undefined
    const logger: Logger = { debug() {}, info() {}, error() {}, warn: (_fields, message) => void (said = message) }
    await reportTrust({
      server: account,
      catalog: catalog === undefined ? account.database : catalogDatabase,
      records: catalog === undefined ? { findAny: async () => undefined } : createTenantDatabaseRecords(catalog),
      logger,
    })
    if (said === undefined) return ok('A wrong password is refused')
    const [what = said] = said.split('. Set ')
    return (isProduction ? problem : warning)(
      what,
      'Set scram-sha-256 instead of trust in its pg_hba.conf, and run select pg_reload_conf()',
    )
  },
}
