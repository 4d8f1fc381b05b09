import { readAdminRights } from '../../../../databases/server/admin-rights.js'
import { type Check, ok, problem, warning } from '../../check.js'

/** The provisioning account may do what building tenant databases takes. */
export const privileges: Check = {
  name: 'privileges',
  async run(context) {
    const { client, account } = await context.server()
    const { isHardened, tempFileLimitMb } = context.config()
    const rights = await readAdminRights(client)
    if (rights.isSuperuser) return ok(`${account.user} is a superuser`)
    const { rows } = await client.query<{ createdb: boolean; createrole: boolean }>(
      'select rolcreatedb as createdb, rolcreaterole as createrole from pg_roles where rolname = current_user',
    )
    const lacking = [
      ...(rows[0]?.createdb === true ? [] : ['CREATEDB']),
      ...(rows[0]?.createrole === true ? [] : ['CREATEROLE']),
    ]
    if (lacking.length > 0) {
      return problem(
        `${account.user} may not build tenants: it lacks ${lacking.join(' and ')}`,
        `As a superuser: alter role "${account.user}" ${lacking.join(' ').toLowerCase()}`,
      )
    }
    if (isHardened) {
      return warning(
        `TENANT_HARDENED takes a superuser, and ${account.user} is none`,
        'Use a superuser, or unset it: docs/isolation.md says what stays open',
      )
    }
    const less = [
      ...(rights.maySignal ? [] : ['pg_signal_backend']),
      ...(rights.mayReadActivity ? [] : ['pg_read_all_stats']),
    ]
    if (less.length > 0) {
      return warning(
        `${account.user} has CREATEDB and CREATEROLE, without ${less.join(' and ')}: it sees and ends sessions of tenants only`,
        `As a superuser: grant ${less.join(', ')} to "${account.user}"`,
      )
    }
    const limit = tempFileLimitMb > 0 ? '; limits of temporary files take a superuser' : ''
    return ok(`${account.user} has CREATEDB, CREATEROLE, pg_signal_backend and pg_read_all_stats${limit}`)
  },
}
