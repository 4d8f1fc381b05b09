import { checkBudget } from '../../../../composition/opening/check-budget.js'
import { findTenancyError } from '../../../../core/errors/errors.js'
import type { SqlPool } from '../../../../core/sql-client.js'
import { type Check, ok, problem, warning } from '../../check.js'

/** The connections of every process fit the server, also beside what else is connected now. */
export const budget: Check = {
  name: 'connection-budget',
  async run(context) {
    const { client } = await context.server()
    const config = context.config()
    try {
      await checkBudget(client as SqlPool, config)
    } catch (error) {
      const tooLarge = findTenancyError(error)
      if (tooLarge?.code !== 'TENANCY_CONNECTION_BUDGET_TOO_LARGE') throw error
      return problem(tooLarge.message, 'See docs/scaling.md')
    }
    const { rows } = await client.query<{ used: number; available: number }>(
      `select (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
         current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) as available`,
    )
    const { used = 0, available = 1 } = rows[0] ?? {}
    const now = `${used} of ${available} connections are in use now`
    if (used > available * 0.9) {
      return warning(now, 'Raise max_connections, or see who is connected: tenants2fast db activity, pg_stat_activity')
    }
    return ok(`${config.processes} ${config.processes === 1 ? 'process fits' : 'processes fit'} the server; ${now}`)
  },
}
