import type pg from 'pg'
import { identityQuery } from '../../src/core/tenants/database-target.js'

/** The installation to inspect, and its server. */
export interface InspectedInstallation {
  readonly catalog: pg.Pool
  readonly prefix: string
  /** Runs work on a connection of a superuser, to the maintenance database unless another one is named. */
  readonly withAdmin: <Result>(work: (client: pg.Client) => Promise<Result>, database?: string) => Promise<Result>
}

/**
 * Finds the violated invariants of an installation in which no work is under way; one line each.
 *
 * @param alive ids of tenants whose creation was reported and whose purge was not begun
 */
export async function findViolations(installation: InspectedInstallation, alive: Iterable<string>): Promise<string[]> {
  const { catalog: pool } = installation
  const found: string[] = []
  const server = await readServer(installation)
  const rows = await readCatalog(installation)
  const recorded = new Set(rows.map(({ name }) => name))
  for (const { name } of server.databases) if (!recorded.has(name)) found.push(`${name} is a database without a row`)
  const names = new Set(server.databases.map(({ name }) => name))
  for (const role of server.roles) if (!names.has(role)) found.push(`${role} is a role without a database`)
  for (const { name, isHalf } of server.databases) if (isHalf) found.push(`${name} is half dropped`)
  for (const name of server.templates) found.push(`${name} is an unfinished template`)

  for (const { name, state, tenant, status } of rows) {
    const expected = tenant === null ? 'ready' : status === 'deleted' ? 'retired' : 'assigned'
    if (state !== expected) found.push(`${name} is ${state}, not ${expected}`)
    if (!names.has(name)) found.push(`${name} (${state}) is not on the server`)
    if (!server.roles.includes(name)) found.push(`${name} (${state}) has no role`)
  }
  const withoutDatabase = await pool.query<{ id: string }>('select id from tenants where database_id is null')
  for (const { id } of withoutDatabase.rows) found.push(`tenant ${id} has no database`)

  // An audit entry is written in the transaction of its change: a tenant that was created and not dropped has a row.
  const lost = await pool.query<{ id: string }>(
    `select tenant_id as id from audit_log as created where action = 'tenant.create'
       and not exists (select from audit_log where action = 'tenant.dropped' and tenant_id = created.tenant_id)
       and not exists (select from tenants where id = created.tenant_id)`,
  )
  for (const { id } of lost.rows) found.push(`tenant ${id} is lost`)
  const tenants = new Set(rows.map(({ tenant }) => tenant))
  for (const id of alive) if (!tenants.has(id)) found.push(`tenant ${id}, whose creation was reported, is lost`)
  return found
}

/**
 * Finds wrong contents of databases: an identity row that names another database, or the lost rows of an `alive` tenant.
 *
 * @param inspected names of databases to skip; those that are found to be right are added
 */
export async function findDamage(
  installation: InspectedInstallation,
  alive: ReadonlySet<string>,
  inspected = new Set<string>(),
): Promise<string[]> {
  const found: string[] = []
  for (const { id, name, tenant } of await readCatalog(installation)) {
    if (inspected.has(name)) continue
    const damage = await installation.withAdmin(async (admin) => {
      const identities = await admin.query(identityQuery)
      if (identities.rows.length !== 1 || identities.rows[0]?.database_id !== id) return 'has a wrong identity row'
      if (tenant === null || !alive.has(tenant)) return undefined
      const marks = await admin.query('select tenant_id from marks')
      return marks.rows.length === 1 && marks.rows[0].tenant_id === tenant ? undefined : 'lost its tenant’s data'
    }, name)
    if (damage !== undefined) found.push(`${name} (of tenant ${tenant}) ${damage}`)
    // A database in stock has no tenant's row yet.
    else if (tenant !== null) inspected.add(name)
  }
  return found
}

/** Reads the databases of the catalog, with the tenant of each. */
async function readCatalog({ catalog }: InspectedInstallation) {
  const { rows } = await catalog.query<{
    id: string
    name: string
    state: string
    tenant: string | null
    status: string | null
  }>(
    `select tenant_databases.id, tenant_databases.name, state, tenants.id as tenant, status
       from tenant_databases left join tenants on database_id = tenant_databases.id`,
  )
  return rows
}

async function readServer({ prefix, withAdmin }: InspectedInstallation) {
  return withAdmin(async (admin) => {
    const built = `^${prefix}[0-9a-f]{32}$`
    const databases = await admin.query<{ name: string; isHalf: boolean }>(
      'select datname as name, datconnlimit = -2 as "isHalf" from pg_database where datname ~ $1',
      [built],
    )
    const roles = await admin.query<{ name: string }>('select rolname as name from pg_roles where rolname ~ $1', [
      built,
    ])
    const templates = await admin.query<{ name: string }>(
      `select datname as name from pg_database
        where starts_with(datname, $1) and (not datistemplate or datallowconn or datconnlimit = -2)`,
      [`${prefix}template_`],
    )
    return {
      databases: databases.rows,
      roles: roles.rows.map(({ name }) => name),
      templates: templates.rows.map(({ name }) => name),
    }
  })
}
