import { countText } from '../../../../core/text.js'
import { type Check, combine, type Finding, problem, warning } from '../../check.js'
import type { DoctorContext } from '../../context.js'
import { some } from './leases.js'

interface RoleRow {
  readonly slug: string
  readonly databaseName: string
  readonly roleName: string
}

interface RoleState {
  readonly name: string
  /** Whether the role may more than log in. */
  readonly isPowerful: boolean
  readonly mayLogIn: boolean
  readonly mayConnect: boolean
  readonly isMember: boolean
  readonly isOpen: boolean
}

const pageSize = 1000

/** Each tenant's role reaches its database and can do nothing else, as far as the server's shared catalogs show. */
export const tenantRoles: Check = {
  name: 'tenant-roles',
  timeoutMs: 60_000,
  async run(context) {
    const { client } = await context.server()
    const catalog = await context.catalog()
    const powerful: string[] = []
    const open: string[] = []
    const broken: string[] = []
    let count = 0
    let after = ''
    for (;;) {
      const { rows } = await catalog.query<RoleRow>(
        `select slug, database.name as "databaseName", role_name as "roleName"
         from tenants join tenant_databases as database on database.id = database_id
         where database.state = 'assigned' and slug > $1 order by slug limit ${pageSize}`,
        [after],
      )
      if (rows.length === 0) break
      const states = await client.query<RoleState>(stateQuery, [
        rows.map(({ roleName }) => roleName),
        context.names().members,
      ])
      const byName = new Map(states.rows.map((state) => [state.name, state]))
      for (const { slug, roleName } of rows) {
        const state = byName.get(roleName)
        // A database that is not there is another check's.
        if (state === undefined) continue
        if (state.isPowerful) powerful.push(slug)
        if (state.isOpen) open.push(slug)
        if (!(state.mayLogIn && state.mayConnect && state.isMember)) broken.push(slug)
      }
      count += rows.length
      after = rows.at(-1)?.slug ?? ''
    }
    return combine(
      findings(context, { powerful, open, broken }),
      `${countText(count, 'role of a tenant is as it was', 'roles of tenants are as they were')} made`,
    )
  },
}

/** Role and database of a tenant have the same name. */
const stateQuery = `
  select rolname as name, rolcanlogin as "mayLogIn",
    rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls as "isPowerful",
    has_database_privilege(pg_roles.oid, pg_database.oid, 'connect') as "mayConnect",
    pg_has_role(pg_roles.oid, (select oid from pg_roles where rolname = $2), 'member') as "isMember",
    datacl is null or exists (select from aclexplode(datacl) where grantee = 0 and privilege_type = 'CONNECT') as "isOpen"
  from pg_roles join pg_database on datname = rolname where rolname = any($1)`

function findings(
  context: DoctorContext,
  { powerful, open, broken }: Record<'powerful' | 'open' | 'broken', readonly string[]>,
): Finding[] {
  return [
    ...(powerful.length === 0
      ? []
      : [
          problem(
            `The roles of ${countText(powerful.length, 'tenant')} may more than log in: ${some(powerful)}`,
            'As a superuser: alter role … nosuperuser nocreatedb nocreaterole noreplication nobypassrls. Find out who did that',
          ),
        ]),
    ...(open.length === 0
      ? []
      : [
          problem(
            `PUBLIC may connect to the databases of ${countText(open.length, 'tenant')}: ${some(open)}`,
            'revoke connect on database … from public. Find out who did that',
          ),
        ]),
    ...(broken.length === 0
      ? []
      : [
          warning(
            `The roles of ${countText(broken.length, 'tenant')} lack privileges that they were made with: ${some(broken)}`,
            'They are restored when the tenant is used; or --fix',
            {
              what: 'restores the privileges of tenants’ roles',
              apply: () => restore(context, broken),
            },
          ),
        ]),
  ]
}

async function restore(context: DoctorContext, slugs: readonly string[]): Promise<string> {
  const tenancy = await context.tenancy()
  const failed: string[] = []
  for (const slug of slugs) {
    try {
      await tenancy.initializeTenantSchema(slug)
      // A role that was denied is restored when it connects.
      await tenancy.getTenantPool(await tenancy.getTenant(slug)).query('select 1')
    } catch {
      failed.push(slug)
    }
  }
  const restored = slugs.length - failed.length
  return `Restored the privileges of ${countText(restored, 'tenant')}${failed.length > 0 ? `; failed: ${some(failed)}` : ''}`
}
