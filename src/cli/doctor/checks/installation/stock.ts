import { type Check, ok, warning } from '../../check.js'

/** Ready databases are in stock, so that creating a tenant waits for no DDL. */
export const stock: Check = {
  name: 'stock',
  async run(context) {
    const { readyDatabases: target } = context.config()
    const catalog = await context.catalog()
    const { rows } = await catalog.query<{ ready: number; building: number }>(
      `select count(*) filter (where state = 'ready' and reserved_for is null)::int as ready,
         count(*) filter (where state = 'building')::int as building from tenant_databases`,
    )
    const { ready = 0, building = 0 } = rows[0] ?? {}
    const what = `${ready} of ${target} ready databases are in stock${building > 0 ? `, ${building} are being built` : ''}`
    if (ready > 0 || target === 0) return ok(what)
    return warning(what, 'An application that runs fills it; a tenant that is created meanwhile waits for its database')
  },
}
