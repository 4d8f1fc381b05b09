import { type Check, ok, warning } from '../../check.js'

const defaultPerTransaction = 64

/** The lock table, which all databases share, has the size that the limits are made for. */
export const locks: Check = {
  name: 'lock-table',
  async run(context) {
    const { client } = await context.server()
    const { watch } = context.config()
    const { rows } = await client.query<{ perTransaction: number; capacity: number }>(
      `select current_setting('max_locks_per_transaction')::int as "perTransaction",
         current_setting('max_locks_per_transaction')::int
           * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) as capacity`,
    )
    const { perTransaction = 0, capacity = 0 } = rows[0] ?? {}
    const what = `The lock table has ${capacity} entries (max_locks_per_transaction = ${perTransaction})`
    if (perTransaction < defaultPerTransaction) {
      return warning(
        `${what}: fewer than by default`,
        `Set max_locks_per_transaction to ${defaultPerTransaction} or more`,
      )
    }
    if (watch.intervalMs === 0) {
      return warning(
        `${what}, and nothing watches who fills it`,
        'Set TENANT_WATCH_INTERVAL_MS above 0: docs/isolation.md',
      )
    }
    if (watch.maxTenantLocks !== undefined && watch.maxTenantLocks > capacity / 2) {
      return warning(
        `${what}; one tenant may take ${watch.maxTenantLocks} of them`,
        `Set TENANT_MAX_TENANT_LOCKS to ${Math.floor(capacity / 4)} or less, or leave it to its default`,
      )
    }
    return ok(what)
  },
}
