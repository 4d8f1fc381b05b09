import { createTenantDatabaseRecords } from '../../../../catalog/tenants/tenant-databases.js'
import { checkPooler } from '../../../../connections/pooler-check.js'
import { findTenancyError } from '../../../../core/errors/errors.js'
import { deriveRolePassword } from '../../../../databases/server/role-password.js'
import { type Check, ok, problem, skipped, warning } from '../../check.js'

/** The pooler hands no session on as the last client left it, and the provisioning account does not go through one. */
export const pooler: Check = {
  name: 'pooler',
  timeoutMs: 30_000,
  async run(context) {
    const { client, processId, secret } = await context.server()
    const { pooler: address } = context.config()
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    // A pooler gives its clients process numbers of its own.
    if (rows[0]?.pid !== processId) {
      return warning(
        'TENANT_DATABASE_URL goes through a pooler: locks and LISTEN need sessions',
        'Name the server itself there, and the pooler in TENANT_POOLER_URL: docs/scaling.md',
      )
    }
    if (address === undefined) return skipped('TENANT_POOLER_URL is not set: tenants connect to the server itself')
    const catalog = await context.catalog()
    const database = await createTenantDatabaseRecords(catalog).findAny()
    if (database === undefined) return skipped('There is no tenant database yet to try the pooler with')
    const { id, epoch, roleName: user, name } = database
    const account = { ...address, user, password: deriveRolePassword(secret, id), database: name }
    try {
      const mode = await checkPooler({
        target: { databaseId: id, epoch, account },
        async isRunning(pid) {
          return (await client.query('select from pg_stat_activity where pid = $1', [pid])).rowCount === 1
        },
      })
      return ok(`The pooler on ${address.host}:${address.port} is safe, in ${mode} mode`)
    } catch (error) {
      const unfit = findTenancyError(error)
      if (unfit === undefined) throw error
      return problem(unfit.message, 'docs/scaling.md has a configuration for PgBouncer')
    }
  },
}
